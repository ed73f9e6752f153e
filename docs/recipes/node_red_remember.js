// Keeps the newest word about each person; what came before, or came already, changes nothing.
const event = msg.payload;
const people = flow.get("people") || {};
const known = people[event.subject];
const newer = !known || known.source !== event.source || known.sequence < event.sequence;
if (!newer || !event.data.presence) {
    return null;
}
people[event.subject] = {
    source: event.source,
    sequence: event.sequence,
    name: event.data.user.name,
    in_meeting: event.data.presence.in_meeting,
};
flow.set("people", people);
msg.topic = event.subject;
msg.payload = people[event.subject];
return msg;
