//! Never blind in silence: whoever is due and is not polled, and whatever waits and is not sent, has a reason that has the
//! same name everywhere, and when the reason ends, work resumes by itself.
//!
//! Guards: each kind of reason is provoked from outside and found in `status` (text and JSON), `/readyz`, `/metrics`, the
//! database and the alert that exists for it; afterwards it is nowhere any more. Reasons that last for minutes by their
//! nature (a ban, a spent month) are ended as the operator ends them, by `reload`; that they end by themselves is shown on
//! a clock of its own (`verdicts`). Deliberately not here: which failure has which reason (`verdict_codes`).

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::Patience;
use crate::harness::daemon::{Daemon, Site, sqlite3};
use crate::harness::fake::Fake;
use crate::harness::http::{Reply, response};
use crate::harness::receiver::Receiver;
use crate::operate::{get, listening};

mod deliveries;
mod ground;
mod organisation;
mod users;

const NOBODY: &str = r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#;
const PEOPLE: [&str; 3] = ["li", "wang", "zhang"];
/// So that a failure that ends is over within seconds.
const QUICK: &str = "interval = \"200ms\"\nmin_interval = \"100ms\"\n\
    [poll.backoff]\ninitial = \"300ms\"\nmax = \"1s\"\n";
/// As the daemon comes: a wait that DingTalk asks for is honoured.
const PATIENT: &str = "interval = \"200ms\"\nmin_interval = \"100ms\"\n";
const EVENTS: &str = "events = [\"meeting.*\", \"watch.*\", \"system.*\"]";

/// The longest that anything here may take to be named everywhere, or to be over.
const LONGEST: Duration = Duration::from_secs(40);

/// What DingTalk answers about this user, instead of a good answer.
type Trouble = dyn Fn(&str) -> Option<Reply> + Send + Sync;

/// DingTalk, a daemon that polls it, and a receiver of its events.
struct House {
    trouble: Arc<Mutex<Option<Arc<Trouble>>>>,
    fake: Fake,
    receiver: Receiver,
    site: Site,
    address: String,
}

impl House {
    fn new(poll: &str) -> Self {
        let receiver = Receiver::start();
        let url = receiver.url();
        Self::with(poll, receiver, &url, EVENTS)
    }

    /// With this webhook named `hook`.
    fn with(poll: &str, receiver: Receiver, hook: &str, webhook: &str) -> Self {
        let trouble: Arc<Mutex<Option<Arc<Trouble>>>> = Arc::default();
        let asked = Arc::clone(&trouble);
        let fake = Fake::scripted(move |who, _| {
            let trouble = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = trouble.and_then(|trouble| trouble(who));
            answer.unwrap_or_else(|| Some(json(200, NOBODY)))
        });
        let site = Site::new(&fake.base(), hook, &PEOPLE, poll, webhook);
        let address = listening(&site);
        Self { trouble, fake, receiver, site, address }
    }

    /// Started, and every user was answered well.
    fn started(&self) -> Daemon {
        let daemon = self.site.start();
        for user in PEOPLE {
            self.fake.wait_looked(user, 2);
        }
        daemon
    }

    fn say(&self, trouble: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(trouble));
    }

    fn say_all(&self, reply: Reply) {
        self.say(move |_| Some(reply.clone()));
    }

    fn be_well(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.site.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "-o", "json"])).expect("JSON")
    }

    /// The text of `status` as if the screen was wide.
    fn screen(&self) -> String {
        self.done(&["status"]).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether it is ready, and why not.
    fn readyz(&self) -> (bool, Value) {
        let answer = get(&self.address, "/readyz");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (answer.starts_with("HTTP/1.1 200"), serde_json::from_str(body).expect("JSON"))
    }

    fn sql(&self, query: &str) -> String {
        sqlite3(&self.site.database(), query)
    }

    /// The text of `status` has this.
    #[track_caller]
    fn until_screen(&self, words: &str) {
        until(words, || has(&self.screen(), words));
    }

    /// `/metrics` has this sample.
    #[track_caller]
    fn until_metric(&self, sample: &str) {
        until(sample, || {
            let page = get(&self.address, "/metrics");
            let name = sample.split('{').next().unwrap_or_default();
            let lines = page.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>().join("\n");
            if page.lines().any(|line| line == sample) { Ok(()) } else { Err(lines) }
        });
    }

    /// This query gives this.
    #[track_caller]
    fn until_sql(&self, query: &str, rows: &str) {
        until(query, || {
            let found = self.sql(query);
            if found == rows { Ok(()) } else { Err(found) }
        });
    }

    /// No gap goes on.
    #[track_caller]
    fn until_no_gap(&self) {
        self.until_sql("SELECT who, why FROM v_gaps WHERE to_at IS NULL", "");
    }

    /// Every user is polled again.
    fn wait_polled(&self) {
        for user in PEOPLE {
            self.fake.wait_looks(user, 2);
        }
    }
}

/// Asks until it holds. What is asked has no bell, so it is asked again a little later.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let patience = Patience::of(LONGEST);
    loop {
        match holds() {
            Ok(()) => return,
            Err(found) => assert!(patience.left().is_some(), "waited in vain for: {what}; there is: {found}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn has(text: &str, words: &str) -> Result<(), String> {
    if text.contains(words) { Ok(()) } else { Err(text.to_owned()) }
}

fn json(status: u16, body: &str) -> Vec<u8> {
    response(status, "application/json", body)
}

/// All at once: each waits for most of its time.
fn side_by_side(all: Vec<Box<dyn FnOnce() + Send>>) {
    thread::scope(|scope| {
        for one in all {
            scope.spawn(one);
        }
    });
}
