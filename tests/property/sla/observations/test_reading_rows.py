"""Rules of reading observations that hold for every input."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.observations.domain.parsing import RowError, parse_row
from services.sla.observations.service.rows import CsvRows, JsonRows, NdjsonRows
from shared.pure.refusal import Refusal

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from([*Observation.__dataclass_fields__, "attributes.x", "colour"])


@settings(max_examples=200)
@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=8))
def test_any_row_is_either_an_observation_or_a_reported_error(row):
    seen = parse_row({"source": "s", "source_id": "1", "kind": "probe"} | row, 4)
    assert isinstance(seen, Observation | RowError)
    if isinstance(seen, Observation):
        assert seen.deleted or (seen.service and seen.occurred_at)
        assert isinstance(seen.kind, ObservationKind)


@settings(max_examples=200)
@given(
    st.sampled_from([CsvRows, NdjsonRows, JsonRows]),
    st.binary(max_size=300) | st.text('ab",{}[]:\n\r1', max_size=200).map(str.encode),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_any_body_gives_rows_or_a_refusal_however_it_is_cut(reader, body, cuts):
    def read(pieces: list[bytes]):
        rows = reader()
        try:
            result = [row for piece in pieces for row in rows.feed(piece)]
            return [*result, *rows.finish()]
        except Refusal as refusal:
            return refusal.code

    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(edges)]
    assert read(pieces) == read([body])
