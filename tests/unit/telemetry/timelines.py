"""Random ways of events, as the pipeline tells them."""

from hypothesis import strategies as st

from inferstream.events.outcome import Answerer, Cause, Status
from inferstream.events.timeline import Call, Kept, Timeline
from inferstream.events.trace_context import Context

contexts = st.builds(Context, st.integers(1, 2**127 - 1), st.integers(1, 2**63 - 1), st.booleans())
_steps = st.lists(st.integers(0, 10**9), min_size=4, max_size=4)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Any way there can be: instants never go back, an answer has an answerer, a trace may begin here."""
    parent = draw(st.one_of(st.none(), contexts))
    context = draw(contexts)._replace(is_sampled=True)
    if parent is not None:
        context = context._replace(trace_id=parent.trace_id)
    status = draw(st.sampled_from(Status))
    answered = status in (Status.SCORED, Status.FALLBACK)
    call = None
    if answered and draw(st.booleans()):
        other = Context(context.trace_id ^ (1 << 127), context.span_id ^ (1 << 63), True)
        call = Call(other, draw(st.integers(1, 256)), "triton:8001", [context])
    begin = draw(st.integers(10**18, 2 * 10**18))
    instants = [begin]
    for step in draw(_steps):
        instants.append(instants[-1] + step)
    return Timeline(
        Kept(context, parent, draw(st.sampled_from(["head", "ratio", "failed", "fallback", "slo_miss"]))),
        call,
        "p",
        "g",
        "in",
        "out",
        draw(st.integers(0, 500)),
        draw(st.integers(0, 2**40)),
        draw(st.integers(0, 70_000)),
        "default",
        status,
        None if status is Status.SCORED else draw(st.sampled_from(Cause)),
        "decode" if status is Status.DEAD_LETTERED else "",
        Answerer("model", "fraud", "1") if answered else None,
        draw(st.integers(1, 2)),
        draw(st.booleans()),
        draw(st.floats(-1e6, 1e6)),
        *instants,
    )
