//! Who works there, and what DingTalk would say of a day of theirs.
//!
//! Guards: each answer goes the way of a real one, so rows are as large as they are in life. Deliberately not here: how
//! long a history is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use presenced::clock::{Clock, ManualClock};
use presenced::ids::{ConferenceId, Identity, OrgName, UnionId, WebhookName};
use presenced::presence::attendance::{AttendStatus, Attendance, Role};
use presenced::presence::diff::{self, DiffRules};
use presenced::presence::event::{EventType, UserInfo};
use presenced::presence::observation::{Entry, Evidence, Observation};
use presenced::presence::user_state::UserState;
use presenced::store::{Enrolment, NewSnapshot, Outgoing, Recording, Store, UnchangedPolls};
use presenced::time::Timestamp;

/// How many come to one meeting.
const TEAM: usize = 8;
/// When a day's two meetings begin and end, in hours after midnight; looked at every minute between.
const MEETINGS: [(u64, u64); 2] = [(10, 11), (14, 16)];

struct Person {
    row: i64,
    card: UserInfo,
    belief: UserState,
}

pub(crate) struct Company {
    people: Vec<Person>,
    webhooks: Arc<[WebhookName]>,
    polls: u64,
    meetings: u64,
}

impl Company {
    pub(crate) async fn enroll(store: &Store, count: usize) -> Result<Self> {
        let mut cards = Vec::with_capacity(count);
        for n in 0..count {
            let union_id = UnionId::parse(&format!("2iPOLbpUNMLzB5Luwgg{n:0>10}"))?;
            cards.push(UserInfo {
                identity: Identity { org: OrgName::default_name(), union_id },
                name: format!("Person {n}"),
                groups: vec!["ops".to_owned()],
                tags: BTreeMap::new(),
                store_nick: true,
            });
        }
        let list = cards.iter().map(|card| Enrolment {
            identity: card.identity.clone(),
            name: card.name.clone(),
            groups: card.groups.clone(),
        });
        let (enrolled, _) = store.watch_list().enroll(list.collect()).await?;
        let people = enrolled.into_iter().zip(cards).map(|(stored, card)| Person {
            row: stored.person_id,
            card,
            belief: stored.belief,
        });
        let webhooks = Arc::new([WebhookName::parse("crm")?]);
        Ok(Self { people: people.collect(), webhooks, polls: 0, meetings: 0 })
    }

    /// A working day: everybody goes into two meetings of their team's, and out again.
    pub(crate) async fn work(
        &mut self,
        store: &Store,
        clock: &ManualClock,
        midnight: Timestamp,
    ) -> Result<()> {
        self.meetings += 2 * self.people.len() as u64;
        for (nth, (from, to)) in MEETINGS.into_iter().enumerate() {
            let began = midnight.plus(Duration::from_hours(from));
            let ended = midnight.plus(Duration::from_hours(to));
            self.everybody(store, clock, nth, began, None).await?;
            self.stretch(store, clock, ended).await?;
            self.everybody(store, clock, nth, began, Some(ended)).await?;
        }
        self.stretch(store, clock, midnight.plus(Duration::from_hours(22))).await
    }

    /// Everybody's answer changes: into a meeting, or out of it. Recorded as they would be: what is ready goes together.
    async fn everybody(
        &mut self,
        store: &Store,
        clock: &ManualClock,
        nth: usize,
        began: Timestamp,
        ended: Option<Timestamp>,
    ) -> Result<()> {
        let mut writing = tokio::task::JoinSet::new();
        for (n, person) in self.people.iter_mut().enumerate() {
            // Some come late, and every look is some seconds after what it sees.
            let seconds = Duration::from_secs(n as u64 % 300);
            let (joined, left) = (began.plus(seconds), ended.map(|at| at.plus(seconds)));
            let seen = left.unwrap_or(joined).plus(Duration::from_secs(1 + n as u64 % 59));
            clock.set(seen.max(clock.now()));
            let meeting = format!("{:012x}{nth:04x}{:08x}", began.as_ms(), n / TEAM);
            let observation = answer(&meeting, joined, left, seen)?;
            let recording = person.compare(&observation, store, &self.webhooks)?;
            let store = store.clone();
            writing.spawn(async move { store.recorder().record(recording).await });
            self.polls += 1;
        }
        while let Some(written) = writing.join_next().await {
            written??;
        }
        Ok(())
    }

    /// Nothing new until then; a look every minute.
    async fn stretch(&mut self, store: &Store, clock: &ManualClock, until: Timestamp) -> Result<()> {
        let polls = u32::try_from(until.since(clock.now()).as_secs() / 60)?;
        let stretch = |person: &Person| UnchangedPolls {
            person_id: person.row,
            last_ok: until,
            polls,
            next_poll: until,
        };
        let stretches: Vec<UnchangedPolls> = self.people.iter().map(stretch).collect();
        self.polls += u64::from(polls) * stretches.len() as u64;
        store.watch_list().flush(stretches, Vec::new()).await?;
        clock.set(until);
        Ok(())
    }

    /// One small write, as a poll would make it.
    pub(crate) async fn look_once(&self, store: &Store) -> Result<()> {
        let person = self.people.first().context("somebody works there")?;
        let look = Recording {
            person_id: person.row,
            org: person.card.identity.org.clone(),
            snapshot: None,
            belief: person.belief.clone(),
            visits: Vec::new(),
            meetings: Vec::new(),
            events: Vec::new(),
            watched: true,
            polled_at: None,
            next_poll: None,
        };
        Ok(store.recorder().record(look).await?)
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls
    }

    /// What polls add to a new file: 1,000 that repeat the answer, 1,000 that change it.
    pub(crate) async fn bytes_a_thousand_polls(&mut self) -> Result<(f64, f64)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("presence.db");
        let midnight = Timestamp::from_ms(1_795_363_200_000);
        let clock = ManualClock::at(midnight);
        let mut sizes = Vec::new();
        for days in [0, 5] {
            let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await?;
            let mut company = Self::enroll(&store, self.people.len()).await?;
            if days == 0 {
                company.everybody(&store, &clock, 0, midnight, None).await?;
            }
            store.close().await?;
            sizes.push(path.metadata()?.len());
            let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await?;
            if days == 0 {
                company.stretch(&store, &clock, midnight.plus(Duration::from_hours(8))).await?;
            } else {
                for nth in 1..=days {
                    let began = midnight.plus(Duration::from_hours(8 + nth as u64));
                    company.everybody(&store, &clock, nth, began, None).await?;
                }
            }
            store.close().await?;
            sizes.push(path.metadata()?.len());
        }
        let (hours, people) = (8.0, self.people.len() as f64);
        let added = |from: usize| (sizes[from + 1] - sizes[from]) as f64;
        Ok((added(0) * 1000.0 / (hours * 60.0 * people), added(2) * 1000.0 / (5.0 * people)))
    }
}

impl Person {
    fn compare(
        &mut self,
        observation: &Observation,
        store: &Store,
        webhooks: &Arc<[WebhookName]>,
    ) -> Result<Recording> {
        let rules = DiffRules { leave_after_misses: 2, first_poll_silent: false };
        let outcome = diff::observe(&self.belief, observation, &self.card, store.source(), &rules);
        self.belief = outcome.state.clone();
        let told = |kind| matches!(kind, EventType::ParticipantJoined | EventType::ParticipantLeft);
        let events = outcome.events.into_iter().map(|draft| Outgoing {
            webhooks: if told(draft.event_type) { Arc::clone(webhooks) } else { Arc::new([]) },
            draft,
        });
        Ok(Recording {
            person_id: self.row,
            org: self.card.identity.org.clone(),
            snapshot: Some(NewSnapshot {
                at: observation.observed_at,
                digest: observation.digest(),
                meetings: u32::try_from(observation.entries.len())?,
                body: serde_json::to_string(&observation.entries)?,
            }),
            belief: outcome.state,
            visits: outcome.visits,
            meetings: Vec::new(),
            events: events.collect(),
            watched: true,
            polled_at: Some(observation.observed_at),
            next_poll: Some(observation.observed_at.plus(Duration::from_mins(1))),
        })
    }
}

/// What DingTalk says of somebody who is in, or was, in a meeting that goes on.
fn answer(meeting: &str, joined: Timestamp, left: Option<Timestamp>, seen: Timestamp) -> Result<Observation> {
    let conference_id = ConferenceId::parse(meeting)?;
    let record = Attendance {
        conference_id: conference_id.clone(),
        status: Some(if left.is_some() { AttendStatus::Left } else { AttendStatus::Active }),
        joined: Some(joined),
        left,
        duration_ms: None,
        role: Role::Attendee,
        external: false,
        by_phone: false,
        device: Some("Win".to_owned()),
        nick: Some("Test Name".to_owned()),
    };
    let entries = BTreeMap::from([(conference_id, Entry::Record(record))]);
    Ok(Observation { observed_at: seen, entries, evidence: Evidence::Explicit })
}
