//! Compares a user's state with an observation: the next state, and the events between the two.
//!
//! Guards: joins and lefts of a visit alternate; an unchanged answer emits nothing; a new phase does not compile until
//! its transitions are decided. Deliberately not here: how a visit opens and ends (`visit_start`, `visit_end`), changes
//! without an answer (`lifecycle`), where observations come from and where events go.

use super::attendance::{Attendance, AttendancePhase};
use super::data::{Flag, Gap, UserInfo};
use super::event::EventType;
use super::event_builder::{EventDraft, MeetingContext};
use super::meeting_state::{MeetingPhase, MeetingState};
use super::observation::{Entry, Evidence, Observation};
use super::poll_context::{DiffOutput, PollContext};
use super::sweep_correction::correct_visit;
use super::transition::{emit_events, next_presence};
use super::user_state::{UnobservedInterval, UserState, WatchProblems};
use super::visit_end::{compare_outside, count_vanished, leave};
use super::visit_start::{continue_unseen, continue_visit, start_visit};

pub use super::transition::{DiffRules, Transition};

/// Applies one poll. `source` is the installation's; every id hashes it.
pub fn observe(
    state: &UserState,
    seen: &Observation,
    user: &UserInfo,
    source: &str,
    rules: &DiffRules,
) -> Transition {
    let mut next = state.clone();
    let problems = next.problems.take();
    let poll = poll_context(state, problems.as_deref(), seen, user, *rules);
    let mut output = DiffOutput::default();

    for conference_id in seen.entries.keys() {
        next.add_meeting(conference_id);
    }
    for meeting in &mut next.meetings {
        advance(meeting, &MeetingReport::of(meeting, seen), &poll, &mut output);
    }
    next.drop_old_meetings();
    next.last_poll = Some(poll.now);
    next.presence = next_presence(state.presence, &next);

    let recovery = problems.and_then(|problems| recovered_draft(&problems, &poll));
    let mut drafts = output.drafts;
    drafts.sort_by_key(EventDraft::order);
    drafts.splice(0..0, recovery);
    let events = emit_events(state, &mut next, &poll, drafts, source);
    Transition { state: next, events, visits: output.visits, needs_recheck: output.needs_recheck }
}

fn poll_context<'a>(
    state: &UserState,
    problems: Option<&WatchProblems>,
    seen: &Observation,
    user: &'a UserInfo,
    rules: DiffRules,
) -> PollContext<'a> {
    let previous = state.last_poll;
    // A stale watch is an interval without polls, like a restart.
    let stale_from = problems.and_then(|problems| problems.stale_at).and(previous);
    let unobserved = problems
        .and_then(|problems| problems.unobserved)
        .or(stale_from.map(|from| UnobservedInterval { from, to: None }))
        // Before the first poll there is no visit whose end could be missed.
        .filter(|_| previous.is_some());
    PollContext {
        now: previous.map_or(seen.observed_at, |previous| previous.max(seen.observed_at)),
        previous,
        silent: previous.is_none() && rules.first_poll_silent,
        unobserved,
        by_sweep: false,
        weak: seen.evidence == Evidence::Weak,
        misses_required: rules.leave_after_misses.max(1),
        user,
    }
}

/// What a poll reports about one meeting.
enum MeetingReport<'a> {
    Pending(&'a Attendance),
    Inside(&'a Attendance),
    Outside(&'a Attendance),
    /// The record has an unrecognized status.
    Unrecognized,
    /// The meeting is listed without a record, or with one that has neither a status nor times.
    NoRecord,
    /// The meeting is not listed.
    Missing,
}

impl<'a> MeetingReport<'a> {
    fn of(meeting: &MeetingState, seen: &'a Observation) -> Self {
        let record = match seen.entries.get(&meeting.conference_id) {
            None => return Self::Missing,
            Some(Entry::ListedOnly) => return Self::NoRecord,
            Some(Entry::Record(record)) => record,
        };
        match record.phase() {
            AttendancePhase::Pending => Self::Pending(record),
            AttendancePhase::Inside => Self::Inside(record),
            AttendancePhase::Outside => Self::Outside(record),
            AttendancePhase::Unknown if record.status.is_some() => Self::Unrecognized,
            AttendancePhase::Unknown => Self::NoRecord,
        }
    }

    fn record(&self) -> Option<&'a Attendance> {
        match self {
            Self::Pending(record) | Self::Inside(record) | Self::Outside(record) => Some(record),
            Self::Unrecognized | Self::NoRecord | Self::Missing => None,
        }
    }
}

/// Applies a poll to one meeting: the table of all transitions.
fn advance(
    meeting: &mut MeetingState,
    report: &MeetingReport<'_>,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) {
    use MeetingPhase::{Inside, Outside, Pending, Unseen};
    use MeetingReport as Report;

    output.flags = meeting_flags(meeting, report);
    meeting.undetermined = is_undetermined(meeting, report, poll);
    if !matches!(report, Report::Missing) {
        meeting.misses = 0;
        meeting.listed = true;
    }
    meeting.pending_join = None;
    let phase = std::mem::take(&mut meeting.phase);
    meeting.phase = match (phase, report) {
        (Inside(open), Report::Inside(record)) => continue_visit(meeting, open, record, poll, output),
        (Inside(open), Report::Outside(record)) => leave(meeting, open, record, poll, output),
        (Inside(open), Report::Pending(record)) => {
            let _ended = leave(meeting, open, record, poll, output);
            invite(meeting, record, poll, output)
        }
        (Inside(open), Report::Missing) => count_vanished(meeting, open, poll, output),
        (Inside(open), Report::Unrecognized | Report::NoRecord) => continue_unseen(open, poll),

        (Outside(Some(closed)), Report::Inside(record)) => {
            let _corrected = correct_visit(meeting, closed, record, poll, output);
            Inside(start_visit(meeting, record, poll, output, false))
        }
        (Unseen | Pending | Outside(None), Report::Inside(record)) => {
            Inside(start_visit(meeting, record, poll, output, false))
        }
        (Unseen | Pending, Report::Outside(record)) => compare_outside(meeting, None, record, poll, output),
        (Outside(closed), Report::Outside(record)) => compare_outside(meeting, closed, record, poll, output),

        (Unseen | Outside(_), Report::Pending(record)) => invite(meeting, record, poll, output),
        (Pending, Report::Pending(_)) => Pending,

        (phase @ (Unseen | Pending | Outside(_)), Report::Missing) => count_missing(meeting, phase, poll),
        (phase @ (Unseen | Pending | Outside(_)), Report::Unrecognized | Report::NoRecord) => phase,
    };
    store_report(meeting, report);
}

/// The flags for all events of a meeting: what the previous report lacked, and whether this one has no status.
fn meeting_flags(meeting: &MeetingState, report: &MeetingReport<'_>) -> Vec<Flag> {
    let no_status = report.record().is_some_and(|record| record.status.is_none());
    let mut flags = Vec::new();
    flags.extend(meeting.no_record.then_some(Flag::MemberRecordMissing));
    flags.extend(meeting.unrecognized.then_some(Flag::StatusUnrecognized));
    flags.extend(no_status.then_some(Flag::StatusMissing));
    flags
}

/// Whether it is open if the user is in the meeting: it is newly listed without a record. After an unrecognized status
/// the previous phase is kept, which means "not inside" except at the first poll.
fn is_undetermined(meeting: &MeetingState, report: &MeetingReport<'_>, poll: &PollContext<'_>) -> bool {
    use MeetingPhase::{Inside, Outside, Pending, Unseen};
    use MeetingReport as Report;

    let before = meeting.undetermined || poll.previous.is_none();
    match (&meeting.phase, report) {
        (Unseen, Report::NoRecord) => true,
        (Pending | Outside(_), Report::NoRecord) => before || !meeting.listed,
        (Unseen | Pending | Outside(_), Report::Unrecognized) => before,
        (Inside(_), Report::NoRecord | Report::Unrecognized)
        | (
            Unseen | Pending | Inside(_) | Outside(_),
            Report::Pending(_) | Report::Inside(_) | Report::Outside(_) | Report::Missing,
        ) => false,
    }
}

/// Stores what the next poll needs of this report.
fn store_report(meeting: &mut MeetingState, report: &MeetingReport<'_>) {
    match report {
        MeetingReport::Missing => {}
        MeetingReport::Pending(record) | MeetingReport::Inside(record) | MeetingReport::Outside(record) => {
            meeting.status = record.status;
            meeting.no_record = false;
            meeting.unrecognized = false;
        }
        MeetingReport::Unrecognized => meeting.unrecognized = true,
        MeetingReport::NoRecord => meeting.no_record = true,
    }
}

/// Not pending before, pending now. At the first poll the time of the invitation is unknown, so no event is emitted.
fn invite(
    meeting: &MeetingState,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    if poll.previous.is_some() {
        let what = record.status.map_or("pending", |status| status.name());
        let draft = EventDraft::at(EventType::ParticipantInvited, poll.now, what).since(poll.previous);
        let context = MeetingContext::of_record(record, meeting.status);
        let flags = output.flags(&[]);
        output.drafts.push(EventDraft { flags, ..draft.with_meeting(context) });
    }
    MeetingPhase::Pending
}

/// Not inside, and the poll misses the meeting: unlists it after as many misses as end a visit, so that an entry that
/// disappears for one poll emits no event twice.
fn count_missing(meeting: &mut MeetingState, phase: MeetingPhase, poll: &PollContext<'_>) -> MeetingPhase {
    if !meeting.listed {
        return phase;
    }
    meeting.misses = meeting.misses.saturating_add(1);
    if meeting.misses < poll.misses_required {
        return phase;
    }
    meeting.unlist();
    match phase {
        MeetingPhase::Pending => MeetingPhase::Unseen,
        MeetingPhase::Unseen | MeetingPhase::Inside(_) | MeetingPhase::Outside(_) => phase,
    }
}

fn recovered_draft(problems: &WatchProblems, poll: &PollContext<'_>) -> Option<EventDraft> {
    let emitted_at = problems.stale_at.or(problems.rejected_at)?;
    let from = poll.previous.unwrap_or(emitted_at);
    let what = format!("recovered:{}", from.as_ms());
    let draft = EventDraft::at(EventType::WatchRecovered, poll.now, what);
    Some(EventDraft { gap: Some(Gap::new(from, poll.now)), ..draft.since(poll.previous) })
}
