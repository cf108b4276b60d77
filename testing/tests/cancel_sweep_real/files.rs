//! Files, on the threads of the pool: what has begun is done, and waited for when it is cancelled.

use std::cell::Cell;
use std::io::SeekFrom;
use std::os::unix::fs::PermissionsExt;

use trioxide_io::fs::{self, File, Permissions};

use crate::slot::Slot;
use crate::{Path, new_path, sweep};

const TEXT: &[u8] = b"one two three";

/// Each method of a file, one after the other; `done` says how many have ended.
#[test]
fn methods() {
    let runs = sweep(
        async |_| (Path::new(), Cell::new(0), Slot::new(vec![])),
        async |(path, done, all)| {
            let next = || done.set(done.get() + 1);
            let mut file = File::create(&path.0).await.unwrap();
            next();
            file.write_all(TEXT).await.unwrap();
            next();
            assert_eq!(file.write(b"!!").await.unwrap(), 2);
            file.sync_data().await.unwrap();
            next();
            file.set_len(TEXT.len() as u64).await.unwrap();
            next();
            file.set_permissions(Permissions::from_mode(0o600)).await.unwrap();
            file.sync_all().await.unwrap();
            assert_eq!(file.metadata().await.unwrap().len(), TEXT.len() as u64);
            file.close().await;
            let mut file = File::options().read(true).open(&path.0).await.unwrap();
            assert_eq!(file.seek(SeekFrom::Start(4)).await.unwrap(), 4);
            assert_eq!(file.read(&mut [0; 4]).await.unwrap(), 4);
            file.read_to_end(&mut all.lend()).await.unwrap();
            next();
            drop(file.into_std().await.unwrap());
            File::open(&path.0).await.unwrap();
        },
        async |(path, done, all), cut| {
            // What a cancel finds begun is done, and a drop does not wait for it.
            if !cut.is_drop() {
                let content = fs::read(&path.0).await.unwrap_or_default();
                let with_more = [TEXT, b"!!"].concat();
                let expected: &[&[u8]] = match done.get() {
                    0 => &[b""],
                    1 => &[b"", TEXT],
                    2 => &[TEXT, &with_more],
                    3 => &[&with_more, TEXT],
                    _ => &[TEXT],
                };
                assert!(expected.contains(&&content[..]), "{cut}: {content:?} after {}", done.get());
            }
            assert!(done.get() < 5 || **all.lend() == TEXT[8..], "{cut}");
        },
    );
    assert!(runs > 30, "{runs}");
}

/// Each function of paths, one after the other, in a directory that is removed in the end.
#[test]
fn functions() {
    let runs = sweep(
        async |_| new_path(),
        async |dir| {
            fs::create_dir_all(dir.join("inner")).await.unwrap();
            let (one, other) = (dir.join("one"), dir.join("other"));
            fs::write(&one, TEXT).await.unwrap();
            assert_eq!(fs::copy(&one, &other).await.unwrap(), TEXT.len() as u64);
            fs::rename(&other, dir.join("moved")).await.unwrap();
            fs::hard_link(&one, &other).await.unwrap();
            fs::symlink(&one, dir.join("link")).await.unwrap();
            assert_eq!(fs::read_link(dir.join("link")).await.unwrap(), one);
            assert_eq!(fs::canonicalize(dir.join("link")).await.unwrap(), fs::canonicalize(&one).await.unwrap());
            fs::set_permissions(&one, Permissions::from_mode(0o600)).await.unwrap();
            assert!(fs::metadata(&one).await.unwrap().is_file());
            assert!(fs::symlink_metadata(dir.join("link")).await.unwrap().is_symlink());
            assert_eq!(fs::read(&one).await.unwrap(), TEXT);
            assert_eq!(fs::read_to_string(&one).await.unwrap().as_bytes(), TEXT);
            fs::create_dir(dir.join("empty")).await.unwrap();
            assert_eq!(fs::read_dir(dir).await.unwrap().len(), 6);
            fs::remove_dir(dir.join("empty")).await.unwrap();
            fs::remove_file(&one).await.unwrap();
            assert!(!fs::try_exists(&one).await.unwrap());
            fs::remove_dir_all(dir).await.unwrap();
        },
        async |dir, cut| {
            // A cancel waits for the call that has begun; so nothing comes to be, or goes, behind it.
            if cut.is_drop() {
                return; // what was dropped goes on
            }
            let there = fs::try_exists(dir).await.unwrap();
            assert!(!there || cut.outcome().is_none(), "{cut}");
            if there {
                fs::remove_dir_all(dir).await.unwrap();
            }
            assert!(!fs::try_exists(dir).await.unwrap(), "{cut}");
        },
    );
    assert!(runs > 60, "{runs}");
}
