"""As much of Home Assistant as an automation with a webhook trigger needs: conditions, `choose`, action names.

Reads the automation strictly: a key it does not know is an error, so that a recipe cannot use what is not checked here.
"""

import yaml
from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeEnvironment

AUTOMATION = {"alias", "id", "mode", "triggers", "conditions", "actions"}
TRIGGER = {"trigger", "webhook_id", "allowed_methods", "local_only"}
MODES = {"single", "restart", "queued", "parallel"}


class HomeAssistant:
    def __init__(self, text):
        (self.automation,) = yaml.safe_load(text)
        self._known(self.automation, AUTOMATION)
        (trigger,) = self.automation["triggers"]
        self._known(trigger, TRIGGER)
        assert trigger["trigger"] == "webhook" and "POST" in trigger["allowed_methods"], trigger
        assert trigger["local_only"] is True and len(trigger["webhook_id"]) >= 20, trigger
        assert self.automation["mode"] in MODES, self.automation["mode"]
        self.templates = NativeEnvironment(undefined=StrictUndefined)

    def called(self, event):
        """The names of the actions that a delivery leads to."""
        trigger = {"platform": "webhook", "json": event}
        if not all(self._holds(condition, trigger) for condition in self.automation["conditions"]):
            return []
        return [name for action in self.automation["actions"] for name in self._run(action, trigger)]

    def _run(self, action, trigger):
        if "choose" in action:
            self._known(action, {"choose"})
            for choice in action["choose"]:
                self._known(choice, {"conditions", "sequence"})
                if self._holds(choice["conditions"], trigger):
                    return [name for step in choice["sequence"] for name in self._run(step, trigger)]
            return []
        self._known(action, {"action", "target"})
        return [action["action"]]

    def _holds(self, condition, trigger):
        if isinstance(condition, dict):
            self._known(condition, {"condition", "value_template"})
            assert condition["condition"] == "template", condition
            condition = condition["value_template"]
        value = self.templates.from_string(condition).render(trigger=trigger)
        assert isinstance(value, bool), f"{condition} is {value!r}"
        return value

    @staticmethod
    def _known(mapping, keys):
        assert set(mapping) <= keys, f"not known here: {set(mapping) - keys}"
