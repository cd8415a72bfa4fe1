"""What secrets look like: one table for whoever masks them and whoever finds them.

The expressions are good for Python's engine and RE2. Every repetition is bounded, so that no text takes
Python's more than its length in time.
"""

from collections.abc import Sequence

PRIVATE_KEY = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
"""How a private key begins."""

CREDENTIALS: Sequence[tuple[str, str]] = (
    ("AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})"),
    ("GitLab token", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{20,255}"),
    ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,255}"),
    ("Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{16,255}"),
    ("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"),
    ("Twilio key", r"\bSK[0-9a-f]{32}\b"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{30,64}"),
    ("PyPI token", r"\bpypi-[A-Za-z0-9_-]{40,255}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,64}"),
    ("OpenAI or Anthropic key", r"\bsk-[A-Za-z0-9_-]{32,255}"),
    ("Azure storage key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
)
"""The credentials of known services, by kind: they are secrets wherever they stand."""

TELLING_NAMES = (
    "PASSWORD|PASSWD|PASSPHRASE|SECRET|API[_-]?KEY|ACCESS[_-]?KEY|PRIVATE[_-]?KEY|TOKEN|CREDENTIAL"
)
"""What a name has in it, in either case, whose value is one."""
