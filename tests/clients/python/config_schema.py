"""The JSON Schema of the config against configs, by an independent validator: it takes what `check` takes, and refuses what an
editor can know to be wrong.

usage: config_schema.py BINARY ROOT
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft202012Validator

GOOD = """
[[org]]
name = "acme"
app_key = "k"
app_secret = { command = ["pass", "show", "dingtalk"] }
calls_per_month = 0
[poll]
interval = "1h 30m"
sweep = "off"
stale_after = "5m"
[[window]]
days = "mon-fri"
from = "8:30"
[[user]]
union_id = "u1"
tags = { site = "HZ" }
[webhook_defaults]
backoff = { factor = 2 }
[[webhook]]
name = "crm"
url = { env = "URL" }
secret = [{ file = "a" }, { file = "b" }]
headers = { A = "1", B = { env = "B" } }
max_age = "forever"
success = { json = "/errcode", equals = 0 }
"""
# Each is refused for this one thing.
BAD = {
    "an unknown key": ("interval =", "intervall ="),
    "months": ('"5m"', '"5M"'),
    "a duration without a unit": ('"5m"', '"5"'),
    "another word": ('"forever"', '"always"'),
    "a secret from two places": ('{ file = "a" }', '{ file = "a", env = "b" }'),
    "a number below the least": ("calls_per_month = 0", "calls_per_month = -1"),
    "a missing key": ('union_id = "u1"', ""),
    "no organisation that says what may be spent": ("[[org]]\nname", "[dingtalk]\n# "),
    "a factor that shrinks": ("factor = 2", "factor = 0.5"),
}


def main():
    binary, root = sys.argv[1], Path(sys.argv[2])
    said = subprocess.run([binary, "config", "schema"], check=True, capture_output=True, text=True).stdout
    assert said == (root / "docs/config.schema.json").read_text(), "docs/config.schema.json is not what the program prints"
    schema = json.loads(said)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    def problems(text):
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]

    for name, text in (("the example", (root / "config.example.toml").read_text()), ("a good config", GOOD)):
        assert not problems(text), (name, problems(text))
    for name, (old, new) in BAD.items():
        assert old in GOOD, name
        text = GOOD.replace(old, new)
        if name.startswith("no organisation"):
            text = text.replace("calls_per_month = 0\n", "")
        assert problems(text), name
    print(f"config.schema.json: takes the example, refuses {len(BAD)} mistakes")


if __name__ == "__main__":
    main()
