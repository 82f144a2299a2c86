"""Sections of tables and pictures as one self-contained HTML page, which is XML as well, and as Markdown. Pure."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from loadtest.tables import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 960px; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem }
.table { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #e5e5e5 }
th { border-bottom-color: #888 } tr:hover td { background: #f6f8fa }
img { width: 100%; max-width: 900px; height: auto; display: block; margin: 1rem 0 }
p { max-width: 75ch; color: #555 } pre { background: #f6f8fa; padding: .6rem; overflow-x: auto; font-size: 13px }
"""


class Picture(NamedTuple):
    """A PNG, the name of its file, and what it shows."""

    name: str
    about: str
    png: bytes


class Section(NamedTuple):
    """A part of the report."""

    title: str
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()


def html(title: str, sections: Iterable[Section]) -> str:
    """One file that needs no other."""
    body = "\n".join(line for section in sections for line in _html(section))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta name="viewport" content="width=device-width"/>\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _said(tables: Sequence[Table]) -> list[Table]:
    """Those that say anything."""
    return [table for table in tables if table.rows or table.if_empty]


def _html(section: Section) -> Iterator[str]:
    if not (_said(section.tables) or section.pictures or section.commands):
        return
    yield f"<h2>{escape(section.title)}</h2>"
    if section.commands:
        yield f"<pre>{escape(chr(10).join(section.commands))}</pre>"
    for picture in section.pictures:
        source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
        yield f'<img alt="{escape(picture.about)}" src="{source}"/>'
    for table in _said(section.tables):
        yield f"<h3>{escape(table.title)}</h3>"
        if text := table.note if table.rows else table.if_empty:
            yield f"<p>{escape(text)}</p>"
        if table.rows:
            yield '<div class="table"><table>'
            yield f"<thead>{_html_row('th', table.header)}</thead>" if any(table.header) else ""
            yield "<tbody>" + "\n".join(_html_row("td", row) for row in table.rows) + "</tbody></table></div>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def markdown(title: str, sections: Iterable[Section]) -> str:
    """The tables, without the pictures."""
    lines = [f"# {title}", *(line for section in sections for line in _markdown(section))]
    return "\n\n".join(lines) + "\n"


def _markdown(section: Section) -> Iterator[str]:
    """Paragraphs. A section of pictures alone is left out."""
    if _said(section.tables) or section.commands:
        yield f"## {section.title}"
    if section.commands:
        yield "\n".join(["```", *section.commands, "```"])
    for table in _said(section.tables):
        yield f"### {table.title}"
        if text := table.note if table.rows else table.if_empty:
            yield text
        if table.rows:
            yield "\n".join(map(_markdown_row, [table.header, ["---"] * len(table.header), *table.rows]))


def _markdown_row(cells: Sequence[str]) -> str:
    plain = (" ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(plain)} |"
