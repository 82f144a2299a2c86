"""What the demo shows of texts that are streamed, and what it counts."""

from typing import Any

from rich.console import Console

from inferstream.operate.demo.generation import GenerationShow
from inferstream.tasks.generation import Prompt

PROMPT = Prompt("p", "The class ", 0)


def result(text: str, reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {
        "text": text, "tokens": len(text), "finish_reason": reason, "first_token_ms": 8.0, "per_token_ms": 0.5, **more,
    }  # fmt: skip


def shown(show: GenerationShow, rows: int = 10) -> str:
    console = Console(width=100, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(show.panel(rows))
    return captured.get()


def test_a_text_grows_with_its_parts_and_is_replaced_by_its_outcome() -> None:
    show = GenerationShow()
    show.partial(PROMPT, {"text": "is\na", "tokens": 4}, 1_000.0)
    show.partial(PROMPT, {"text": " name", "tokens": 5}, 1_010.0)
    assert "The class is a name▌" in shown(show)
    show.came_back(PROMPT, None, result("is\na name.\n\n"), 1_050.0)
    assert "stop     The class is a name." in shown(show)
    assert "▌" not in shown(show)


def test_tokens_times_and_ends_are_counted() -> None:
    show = GenerationShow()
    show.partial(PROMPT, {"text": "a", "tokens": 1}, 1_000.0)
    show.came_back(PROMPT, None, result("abc"), 1_040.0)
    show.came_back(Prompt("q", "x", 0), None, result("d", "deadline", first_token_ms=12.0), 1_050.0)
    figures = show.figures()["generation"]
    assert (figures["texts"], figures["tokens"]) == (2, 4)
    assert figures["ends"] == {"stop": 1, "length": 0, "deadline": 1}
    assert figures["first_token_ms"]["p50"] == 10.0
    assert figures["seen_before_outcome_ms"]["p50"] == 40.0
    assert dict(show.lines())["texts end"] == "1 by stop, 1 by deadline"


def test_the_panel_has_no_more_lines_than_it_may() -> None:
    show = GenerationShow()
    for number in range(30):
        show.came_back(Prompt(f"p{number}", "x" * 400, 0), None, result("y" * 400), 1.0)
    assert len(shown(show, 8).splitlines()) == 8
