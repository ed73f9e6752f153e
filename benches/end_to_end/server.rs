//! A mock DingTalk and a receiver, as cheap as can be: HTTP/1.1 by hand on one thread, so that whoever is measured is
//! the limit and not this.
//!
//! Guards: it counts every poll and post it answers. Deliberately not here: anything faithful (that is `simulator`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write as _;
use std::rc::Rc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const CONFERENCE: &str = "654058f2411fe90147e68780";
/// The answer about somebody who is in no meeting.
const NOWHERE: &str = r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#;
const FIRST_JOIN_MS: u64 = 1_699_347_295_876;

/// What the mock DingTalk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answers {
    /// Everybody is in a meeting, always the same.
    Inside,
    /// One in five is.
    OneInFiveInside,
    /// Every answer differs from the last one of that person; each change is then posted, signed.
    Changing,
}

#[derive(Debug)]
struct State {
    answers: Answers,
    polls: Cell<u64>,
    posts: Cell<u64>,
    /// How often each person was asked for; kept only when answers change.
    looks: RefCell<HashMap<Vec<u8>, u64>>,
}

/// Serves until killed. Prints its address first.
pub(crate) fn serve(answers: Answers) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let state = Rc::new(State {
            answers,
            polls: Cell::default(),
            posts: Cell::default(),
            looks: RefCell::default(),
        });
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let state = Rc::clone(&state);
            // A connection that breaks concerns nobody else.
            tokio::task::spawn_local(async move { converse(stream, &state).await.ok() });
        }
    })
}

async fn converse(mut stream: TcpStream, state: &State) -> Result<()> {
    let mut incoming = Vec::with_capacity(4096);
    let mut outgoing = Vec::with_capacity(4096);
    loop {
        let head_end = loop {
            if let Some(at) = incoming.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut incoming).await? == 0 {
                return Ok(());
            }
        };
        let length = head_end + body_length(&incoming[..head_end]);
        while incoming.len() < length {
            if stream.read_buf(&mut incoming).await? == 0 {
                return Ok(());
            }
        }
        outgoing.clear();
        let open = respond(&incoming[..head_end], state, &mut outgoing)?;
        incoming.drain(..length);
        stream.write_all(&outgoing).await?;
        if !open {
            return Ok(());
        }
    }
}

/// `Content-Length`; a request without one has no body here.
fn body_length(head: &[u8]) -> usize {
    if head.starts_with(b"GET ") {
        return 0;
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Writes the answer; whether the connection stays open.
fn respond(head: &[u8], state: &State, out: &mut Vec<u8>) -> Result<bool> {
    const LISTS: &[u8] = b"GET /v1.0/conference/users/lists?unionId=";
    if let Some(rest) = head.strip_prefix(LISTS) {
        state.polls.set(state.polls.get() + 1);
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'&')).unwrap_or(rest.len());
        let union_id = &rest[..end];
        let body = match state.answers {
            Answers::OneInFiveInside if !in_a_meeting(union_id) => NOWHERE.to_owned(),
            Answers::Changing => lists(&String::from_utf8_lossy(union_id), next_look(state, union_id)),
            Answers::Inside | Answers::OneInFiveInside => lists(&String::from_utf8_lossy(union_id), 0),
        };
        answer(out, "200 OK", &body)?;
    } else if head.starts_with(b"POST /v1.0/oauth2/") {
        answer(out, "200 OK", r#"{"accessToken":"bench-token","expireIn":7200}"#)?;
    } else if head.starts_with(b"POST /hook") {
        state.posts.set(state.posts.get() + 1);
        out.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
    } else if head.starts_with(b"GET /counts") {
        write!(
            out,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{} {}",
            state.polls.get(),
            state.posts.get()
        )?;
        return Ok(false);
    } else {
        answer(out, "404 Not Found", r#"{"code":"notFound","message":"not found","requestid":"0"}"#)?;
    }
    Ok(true)
}

/// One in five, by the last digit of the number in the id.
fn in_a_meeting(union_id: &[u8]) -> bool {
    union_id.iter().rfind(|byte| byte.is_ascii_digit()).is_some_and(|digit| matches!(digit, b'0' | b'5'))
}

fn next_look(state: &State, union_id: &[u8]) -> u64 {
    let mut looks = state.looks.borrow_mut();
    if let Some(look) = looks.get_mut(union_id) {
        *look += 1;
        return *look;
    }
    looks.insert(union_id.to_vec(), 0);
    0
}

/// About 340 bytes. Even looks find the person inside; odd ones see that visit ended, and the next one begins later.
fn lists(union_id: &str, look: u64) -> String {
    let joined = FIRST_JOIN_MS + look / 2 * 60_000;
    let (status, left) = if look.is_multiple_of(2) { (3, 0) } else { (6, joined + 30_000) };
    format!(
        r#"{{"onGoingConfIdList":["{CONFERENCE}"],"memberModelMap":{{"{CONFERENCE}":{{"unionId":"{union_id}","conferenceId":"{CONFERENCE}","userNick":"Test Name","joinTime":{joined},"leaveTime":{left},"attendStatus":{status},"host":false,"coHost":false,"outerOrgMember":false,"pstnJoin":false,"deviceType":"Win"}}}}}}"#
    )
}

fn answer(out: &mut Vec<u8>, status: &str, body: &str) -> Result<()> {
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}
