//! A crawler: follows the links of a site, so many pages at once and no more.
//!
//! Level by level: the pages of a level are fetched on all workers, and their links that were not seen yet are the next one. A page that is
//! slow or broken costs its own time limit, and nothing else.
//!
//! ```text
//! python3 -m http.server 8000 &
//! cargo run --example crawler -- http://127.0.0.1:8000/ --at-once 8
//! ```

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Parser;
use trioxide::io::{BufReader, connect};
use trioxide::parallel;
use trioxide::prelude::*;

/// The longest page.
const PAGE: usize = 1 << 20;

#[derive(Parser)]
#[command(about = "Follows the links of a site")]
struct Arguments {
    /// Where to begin: http://HOST:PORT/PATH
    url: String,
    /// How many pages at once
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// How many pages at most
    #[arg(long, default_value_t = 1000)]
    pages: usize,
}

#[derive(Clone)]
struct Site {
    host: String,
    port: u16,
}

#[trioxide::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some((site, path)) = parse(&arguments.url) else {
        eprintln!("`{}` is not of the form http://HOST:PORT/PATH", arguments.url);
        return ExitCode::FAILURE;
    };
    let (mut seen, mut level) = (HashSet::from([path.clone()]), vec![path]);
    let (mut good, mut bad) = (0, 0);
    while !level.is_empty() {
        let of = site.clone();
        let pages = parallel::map(level, arguments.at_once, move |path| {
            let site = of.clone();
            async move { (fail_after(Duration::from_secs(10), fetch(&site, &path)).await, path) }
        });
        level = Vec::new();
        for (fetched, path) in pages.await {
            match fetched.map_err(io::Error::from).and_then(|page| page) {
                Ok(page) => {
                    good += 1;
                    println!("{path}: {} bytes", page.len());
                    let links =
                        links(&page, &path).filter(|link| seen.len() < arguments.pages && seen.insert(link.clone()));
                    level.extend(links);
                }
                Err(error) => {
                    bad += 1;
                    println!("{path}: {error}");
                }
            }
        }
    }
    println!("{good} pages, {bad} failed");
    ExitCode::SUCCESS
}

fn parse(url: &str) -> Option<(Site, String)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    Some((Site { host: host.to_owned(), port: port.parse().ok()? }, format!("/{path}")))
}

/// One page, by HTTP/1.0, whose end is the end of the connection.
async fn fetch(site: &Site, path: &str) -> io::Result<String> {
    let stream = connect(&site.host, site.port).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", site.host);
    stream.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(&stream);
    let status = lines.read_line(PAGE).await?.unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the server says `{status}`")));
    }
    while lines.read_line(PAGE).await?.is_some_and(|line| !line.is_empty()) {}
    let mut page = String::new();
    while let Some(line) = lines.read_line(PAGE).await? {
        if page.len() + line.len() > PAGE {
            return Err(io::Error::other(format!("longer than {PAGE} bytes")));
        }
        page.push_str(&line);
        page.push('\n');
    }
    Ok(page)
}

/// The links to pages of this site, as paths.
fn links<'a>(page: &'a str, path: &'a str) -> impl Iterator<Item = String> + 'a {
    let folder = &path[..=path.rfind('/').unwrap_or(0)];
    page.split("href=\"").skip(1).filter_map(move |rest| {
        let link = rest.split(['"', '#', '?']).next()?;
        match link {
            "" => None,
            link if link.contains(':') || link.contains("..") => None,
            link if link.starts_with('/') => Some(link.to_owned()),
            link => Some(format!("{folder}{link}")),
        }
    })
}
