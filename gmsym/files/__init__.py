"""Text in and out: the whitelisted parser of expressions, and problem files in TOML to and from every part of a problem."""

from gmsym.files.parser import parse as parse
from gmsym.files.reader import ProblemFile as ProblemFile
from gmsym.files.reader import from_options as from_options
from gmsym.files.reader import loads as loads
from gmsym.files.reader import read as read
from gmsym.files.writer import dumps as dumps
