//! What the log says of sweeps that are refused: once, however many would have been due.
//!
//! Guards: a refusal that lasts for days is one line, and looks go on. Deliberately not here: how much is logged in all
//! (`log_volume`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::BatchUser;
use presenced::simulator::{AnswerOptions, Fault, FaultKind};
use presenced::telemetry::health::SweepState;

use crate::house::at;
use crate::sweep::{Desk, MINUTE, PEOPLE, SITTING, scene, users};

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn lines_with(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

/// `auto`, in office hours, for three days.
async fn three_days(before: impl FnOnce(&presenced::simulator::Running)) -> Desk {
    let config = format!(
        "calls_per_month = 3000\n[poll]\nsweep = \"auto\"\n\
         [[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n{}",
        users(PEOPLE)
    );
    let desk = Desk::open_on(&scene(""), &config, before).await;
    desk.office.pass_until(&desk.polling, at("2026-11-26T09:00:00Z"), MINUTE).await;
    desk
}

#[tokio::test]
async fn a_refusal_of_sweeps_is_said_once_and_looks_go_on() {
    let log = Log::default();
    let _listening = log.listen();
    let desk = three_days(|dingtalk| {
        dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Meetings));
    })
    .await;
    assert_eq!(desk.sweeps(), 1, "auto is off for the organisation");
    assert_eq!(desk.standing().state, SweepState::Refused);
    let said = log.lines_with("refuses the calls about meetings");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("WARN") && said[0].contains("org=default"), "{said:#?}");
    assert!(log.lines_with("a sweep failed").is_empty());
    let looks = desk.office.calls();
    assert!(looks > 200, "{looks} looks");
    assert_eq!(desk.told().await, (SITTING, 0));
    desk.polling.end().await;
}

#[tokio::test]
async fn a_refusal_of_the_contacts_is_said_once() {
    let log = Log::default();
    let _listening = log.listen();
    let desk = three_days(|dingtalk| {
        dingtalk.set_options(AnswerOptions { batch_user: BatchUser::UserId, ..AnswerOptions::default() });
        dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Contacts));
    })
    .await;
    assert!(desk.sweeps() > 3, "{} sweeps", desk.sweeps());
    let said = log.lines_with("DingTalk refuses to read the contacts");
    assert_eq!(said.len(), 1, "{said:#?}");
    let all = log.0.lock().unwrap().clone();
    let all = String::from_utf8(all).unwrap();
    assert!(!all.contains("iEiE") && !all.contains("user0"), "no id of anybody is logged:\n{all}");
    assert_eq!(desk.told().await, (SITTING, 0));
    desk.polling.end().await;
}
