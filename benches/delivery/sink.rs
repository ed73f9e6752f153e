//! A receiver as cheap as can be: HTTP/1.1 by hand on one thread, so that whoever sends is the limit and not this.
//!
//! Guards: it counts every post it answers. Deliberately not here: anything of what is posted.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const LENGTH: &[u8] = b"\r\ncontent-length: ";

/// Serves until killed. Prints its address first; any GET is told the number of posts.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let posts = Rc::new(Cell::new(0_u64));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let posts = Rc::clone(&posts);
            // A connection that breaks concerns nobody else.
            tokio::task::spawn_local(async move { converse(stream, &posts).await.ok() });
        }
    })
}

async fn converse(mut stream: TcpStream, posts: &Cell<u64>) -> Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let whole = match buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => Some(at + 4 + body_length(&buffer[..at])).filter(|&end| buffer.len() >= end),
            None => None,
        };
        let Some(end) = whole else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        if buffer.starts_with(b"GET ") {
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", posts.get());
            stream.write_all(answer.as_bytes()).await?;
            return Ok(());
        }
        buffer.drain(..end);
        posts.set(posts.get() + 1);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}

/// As hyper writes it; a request without one has no body.
fn body_length(head: &[u8]) -> usize {
    let Some(at) = head.windows(LENGTH.len()).position(|part| part == LENGTH) else { return 0 };
    let digits = head[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}
