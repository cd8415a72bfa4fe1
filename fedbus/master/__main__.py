"""`python -m fedbus.master [DATA_DIR]`: the daemon alone, set up by FEDBUS_* in the environment."""

import sys

from fedbus import config
from fedbus.master import daemon

sys.exit(config.main("master", daemon.run))
