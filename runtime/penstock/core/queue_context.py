"""What the parts of one queue machine share."""

from penstock.api import Message
from penstock.core.commands import QueueCommand
from penstock.core.events.layout import Layout
from penstock.core.machine_context import MachineContext
from penstock.core.settings import QueueSettings


class QueueContext(MachineContext[QueueSettings, Layout[Message], QueueCommand]):
    """One per machine."""

    last_error = ""
    """What went wrong last, for whoever looks."""
