"""Safe relative paths, and the one grammar for file patterns.

Both are the same on every backend: POSIX, relative, NFC. The pattern grammar is that of Azure
Batch output files (azure-batch 15.1 SDK, `OutputFile.file_pattern`): ``*`` and ``?`` stay inside
one directory, ``**`` as a whole segment is any number of directories, ``[abc]``, ``[a-c]`` and
``[!abc]`` are sets, ``[*]`` is a literal star, and a leading dot must be written out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from batchcore.errors import JobError

MAX_PATH = 900  # leaves room for a prefix below the 1,024 characters of a blob name
MAX_SEGMENT_BYTES = 255
_WILDCARDS = re.compile(r"[*?\[]")
# What most paths are made of, so that few are looked at letter by letter.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_.-]*[A-Za-z0-9_-]/)*[A-Za-z0-9_.-]*[A-Za-z0-9_-]")
_DRIVE = re.compile(r"[A-Za-z]:")


def safe_path(text: str, key: str) -> str:
    """Return `text` as a safe relative POSIX path in NFC.

    Refused, with a suggestion where there is one: empty, absolute, home and drive paths, `.` and
    `..`, empty segments, backslashes, control characters, a trailing dot, space or slash, names
    over 255 bytes and paths over 900 characters. Raises `JobError` (permanent), naming `key`.
    """
    if len(text) <= MAX_SEGMENT_BYTES and _PLAIN.fullmatch(text):
        return text
    path = unicodedata.normalize("NFC", text)
    reason = _fault(path)
    if reason:
        suggestion = _suggest(path)
        hint = f'did you mean "{suggestion}"?' if suggestion else "write a path such as in/a.csv"
        raise JobError.of("BC2100", f"{text!r} {reason}", hint=hint, key=key)
    return path


def safe_pattern(text: str, key: str) -> str:
    """Return `text` as a safe file pattern; the same rules as for a path, plus the grammar's.

    ``$`` is refused, because Azure Batch would expand it. Raises `JobError` (permanent).
    """
    path = safe_path(text, key)
    if "$" in path:
        raise JobError.of(
            "BC2101",
            f"{text!r} has a $, which Azure Batch expands",
            hint="name the file without a $",
            key=key,
        )
    return check_pattern(path, key)


def check_pattern(text: str, key: str) -> str:
    """Return `text` if its brackets can be understood; raises `JobError` (permanent)."""
    try:
        _compile(text)
    except ValueError as exc:
        raise JobError.of(
            "BC2101", f"{text!r} {exc}", hint="write [[] for a literal bracket", key=key
        ) from exc
    return text


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern can match more than the one file it spells."""
    return _WILDCARDS.search(pattern) is not None


def fixed_part(pattern: str) -> str:
    """Return the directories before the first wildcard, without a trailing slash."""
    segments: list[str] = []
    for segment in pattern.split("/")[:-1]:
        if has_wildcard(segment):
            break
        segments.append(segment)
    return "/".join(segments)


def matches(pattern: str, path: str) -> bool:
    """Return whether `path`, relative and POSIX, is matched by `pattern`."""
    if not has_wildcard(pattern):
        return pattern == path
    return _compile(pattern).fullmatch(path) is not None


def reaches(pattern: str, directory: str) -> bool:
    """Return whether something below `directory` could be matched by `pattern`."""
    segments, names = pattern.split("/"), directory.split("/")
    for segment, name in zip(segments, names, strict=False):
        if segment == "**":
            return True
        if not matches(segment, name):
            return False
    return len(names) < len(segments)


def above(path: str) -> list[str]:
    """Return the directories that a relative path lies in, the outermost first."""
    segments = path.split("/")
    return ["/".join(segments[:count]) for count in range(1, len(segments))]


def composed(path: str) -> str:
    """Return a path that a worker wrote in the form in which outputs are named, NFC."""
    return unicodedata.normalize("NFC", path)


def folded(path: str) -> str:
    """Return the form under which two paths are the same file on some file system."""
    if path.isascii():  # much faster than the answer to all questions
        return path.lower()
    return unicodedata.normalize("NFC", path).casefold()


def _fault(path: str) -> str:
    segments = path.split("/")
    checks = (
        (not path.strip(), "is an empty path"),
        (path.startswith(("/", "~")) or _DRIVE.match(path), "is not relative to the directory"),
        ("\\" in path, "has a backslash"),
        (any(unicodedata.category(c) in {"Cc", "Cs"} for c in path), "has a control character"),
        (".." in segments, "leaves the directory"),
        (path.endswith("/"), "ends with a slash"),
        (any(s in {"", "."} for s in segments), "has an empty or '.' segment"),
        (any(s.endswith((".", " ")) for s in segments), "has a name ending with a dot or space"),
        (any(_bytes(s) > MAX_SEGMENT_BYTES for s in segments), "has a name over 255 bytes"),
        (len(path) > MAX_PATH, f"is longer than {MAX_PATH} characters"),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _suggest(path: str) -> str:
    segments = [
        "".join(c for c in segment if unicodedata.category(c) not in {"Cc", "Cs"}).rstrip(". ")
        for segment in _DRIVE.sub("", path.replace("\\", "/")).split("/")
    ]
    suggestion = "/".join(s for s in segments if s and s != "~")
    return suggestion if suggestion and not _fault(suggestion) else ""


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    segments = pattern.split("/")
    parts: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            parts.append(r"(?:(?!\.)[^/]+/)*" + (r"(?!\.)[^/]+" if last else ""))
        else:
            parts.append(_segment(segment) + ("" if last else "/"))
    return re.compile("".join(parts), re.DOTALL)


def _segment(segment: str) -> str:
    """Translate one segment; a wildcard at its start does not match a leading dot."""
    pieces = [""]  # what stands between the stars
    position = 0
    while position < len(segment):
        char = segment[position]
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "[":
            first = position + (2 if segment[position + 1 : position + 2] == "!" else 1)
            end = segment.find("]", first + 1)  # a ] that comes first is a member
            if end < 0:
                msg = "has an unclosed bracket"
                raise ValueError(msg)
            pieces[-1] += _set(segment[first:end], "^" if first == position + 2 else "")
            position = end
        else:
            pieces[-1] += re.escape(char)
        position += 1
    # Each star but the last takes as little as it can and never more: a name that a worker chose
    # to that end would else take a time that grows with a power of its length.
    inner = "".join(f"(?>[^/]*?{piece})" for piece in pieces[1:-1])
    last = f"[^/]*{pieces[-1]}" if len(pieces) > 1 else ""
    return ("" if segment.startswith(".") else r"(?!\.)") + pieces[0] + inner + last


def _set(body: str, negation: str) -> str:
    members: list[str] = []
    position = 0
    while position < len(body):
        low = high = body[position]
        if body[position + 1 : position + 2] == "-" and position + 2 < len(body):
            high = body[position + 2]
            position += 2
        if low > high:
            msg = f"has a range that runs backwards: {low}-{high}"
            raise ValueError(msg)
        members.append(f"{_member(low)}-{_member(high)}")
        position += 1
    return f"(?!/)[{negation}{''.join(members)}]"


def _member(char: str) -> str:
    return re.escape(char) if char.isascii() else char
