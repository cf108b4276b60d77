//! Events and channels: the wait list, hand-over and close, against cancel and drop. The models themselves are `sync/src/models.rs`.

use trioxide_sync::models;

macro_rules! models {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                models::$name();
            }
        )*
    };
}

models! {
    event_set_against_wait
    event_set_against_drop
    send_against_recv
    send_against_dropped_recv
    dropped_recv_passes_on
    send_against_another_waker
    recv_against_dropped_send
    rendezvous
    close_against_recv
    permit_dropped_against_dropped_reservation
    permit_used_against_dropped_recv
    close_against_send
    sends_past_the_lock_against_recv
    sends_past_the_lock_against_try_recv
    sends_past_the_lock_against_each_other
    sends_beyond_the_ring_against_recv
    close_against_send_past_the_lock
    nobody_overtakes_a_send_that_waits
    reserve_against_send_past_the_lock
    oneshot_send_against_recv
    oneshot_send_against_another_waker
    oneshot_send_against_drop
    oneshot_send_against_drop_after_another_waker
    oneshot_send_against_unpolled_drop
    oneshot_close_against_drop
    oneshot_close_against_recv
    watch_send_against_changed
    broadcast_send_against_recv_and_drop
    unlock_against_lock
    unlock_against_dropped_lock
    lock_by_three
    a_cell_that_is_made_lets_all_in
    permits_come_back_against_dropped_wait
    notify_against_wait_and_drop
    notify_all_against_wait_and_drop
    readers_let_in_against_readers_that_leave
    a_line_that_empties_while_it_is_served
}
