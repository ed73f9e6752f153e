//! The calls that the simulator knows, by method and path.
//!
//! Guards: each request is exactly one call, and each call is counted under one path. Not here: the answers (`gateway`,
//! `contacts`).

use axum::http::Method;

use super::faults::FaultTarget;
use super::http::{decoded, parameter};

/// The path of the list of a user's meetings.
pub const LISTS: &str = "/v1.0/conference/users/lists";
/// The path of an internal app's token call.
pub const ACCESS_TOKEN: &str = "/v1.0/oauth2/accessToken";
/// The path of a third-party app's older token call.
pub const CORP_ACCESS_TOKEN: &str = "/v1.0/oauth2/corpAccessToken";
/// The unified token call, counted under one name for all organisations.
pub const UNIFIED_TOKEN: &str = "/v1.0/oauth2/{corpId}/token";
/// The path of the organisation's ongoing meetings.
pub const ORG_MEETINGS: &str = "/v1.0/conference/orgConferences";
/// The path of the batch of ongoing meetings with their users.
pub const MEETING_QUERY: &str = "/v1.0/conference/videoConferences/query";
/// The call about one meeting, counted under one name.
pub const MEETING_INFO: &str = "/v1.0/conference/videoConferences/{conferenceId}";
/// The call for a meeting's members, counted under one name.
pub const MEETING_MEMBERS: &str = "/v1.0/conference/videoConferences/{conferenceId}/members";
/// The call that opens a push connection.
pub const PUSH_OPEN: &str = "/v1.0/gateway/connections/open";
/// All contacts calls, counted under one name.
pub const CONTACTS: &str = "/topapi";
/// All other paths, counted under one name.
pub const OTHER: &str = "other";

/// The path before a conference id.
const ONE_MEETING: &str = "/v1.0/conference/videoConferences/";

/// A call, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Lists { union_id: Option<String> },
    AccessToken,
    CorpAccessToken,
    UnifiedToken { corp_id: String },
    OrgMeetings,
    MeetingQuery,
    MeetingInfo { conference_id: String },
    MeetingMembers { conference_id: String },
    PushOpen,
    UnknownApi,
    UnknownUri,
}

impl Call {
    pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let unified = path.strip_prefix("/v1.0/oauth2/").and_then(|rest| rest.strip_suffix("/token"));
        match (method, path, unified) {
            (&Method::GET, LISTS, _) => Self::Lists { union_id: parameter(query, "unionId") },
            (&Method::POST, ACCESS_TOKEN, _) => Self::AccessToken,
            (&Method::POST, CORP_ACCESS_TOKEN, _) => Self::CorpAccessToken,
            (&Method::POST, PUSH_OPEN, _) => Self::PushOpen,
            (&Method::GET, ORG_MEETINGS, _) => Self::OrgMeetings,
            (&Method::POST, MEETING_QUERY, _) => Self::MeetingQuery,
            (&Method::GET, _, _) if path.starts_with(ONE_MEETING) => {
                Self::of_meeting(&path[ONE_MEETING.len()..])
            }
            (&Method::POST, _, Some(corp)) if !corp.contains('/') => {
                Self::UnifiedToken { corp_id: decoded(corp) }
            }
            _ if path.starts_with("/v1.0/") => Self::UnknownApi,
            _ => Self::UnknownUri,
        }
    }

    /// `path` is the part after [`ONE_MEETING`].
    fn of_meeting(path: &str) -> Self {
        match path.split_once('/') {
            None => Self::MeetingInfo { conference_id: decoded(path) },
            Some((id, "members")) => Self::MeetingMembers { conference_id: decoded(id) },
            Some(_) => Self::UnknownApi,
        }
    }

    pub(super) fn counted_as(&self) -> &'static str {
        match self {
            Self::Lists { .. } => LISTS,
            Self::AccessToken => ACCESS_TOKEN,
            Self::CorpAccessToken => CORP_ACCESS_TOKEN,
            Self::UnifiedToken { .. } => UNIFIED_TOKEN,
            Self::OrgMeetings => ORG_MEETINGS,
            Self::MeetingQuery => MEETING_QUERY,
            Self::MeetingInfo { .. } => MEETING_INFO,
            Self::MeetingMembers { .. } => MEETING_MEMBERS,
            Self::PushOpen => PUSH_OPEN,
            Self::UnknownApi | Self::UnknownUri => OTHER,
        }
    }

    /// The fault target of the call, and the unionId that it is about.
    pub(super) fn target(&self) -> Option<(FaultTarget, Option<&str>)> {
        match self {
            Self::Lists { union_id } => Some((FaultTarget::Lists, union_id.as_deref())),
            Self::AccessToken | Self::CorpAccessToken | Self::UnifiedToken { .. } => {
                Some((FaultTarget::Tokens, None))
            }
            Self::OrgMeetings => Some((FaultTarget::OrgMeetings, None)),
            Self::MeetingQuery => Some((FaultTarget::MeetingQuery, None)),
            Self::MeetingInfo { .. } => Some((FaultTarget::MeetingInfo, None)),
            Self::MeetingMembers { .. } => Some((FaultTarget::MeetingMembers, None)),
            Self::PushOpen => Some((FaultTarget::PushOpen, None)),
            Self::UnknownApi | Self::UnknownUri => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_distinguished() {
        let of = |method, path| Call::of(&method, path, None);
        assert_eq!(of(Method::GET, LISTS), Call::Lists { union_id: None });
        assert_eq!(of(Method::POST, LISTS), Call::UnknownApi);
        let unified = Call::UnifiedToken { corp_id: "ding1".into() };
        assert_eq!(of(Method::POST, "/v1.0/oauth2/ding1/token"), unified);
        assert_eq!(of(Method::POST, "/oauth2/accessToken"), Call::UnknownUri);
    }
}
