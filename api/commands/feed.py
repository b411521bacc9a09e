"""`wardtwin feed`: a feed before it goes live."""

from api.commands import Command
from api.commands.feed_check import CHECK

COMMAND = Command(
    name="feed",
    help="try a feed before it goes live",
    examples=CHECK.examples,
    commands=(CHECK,),
)
