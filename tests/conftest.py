"""What holds for all tests: property tests have no deadline (the machine is shared) and repeat in CI."""

import os

from hypothesis import settings

settings.register_profile("fedbus", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "fedbus")
