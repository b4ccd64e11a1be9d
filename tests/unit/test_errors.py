"""Every exception: its place in the tree, its code, and its section in the documentation."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import requests

from amie_engine import errors
from amie_engine.errors import AMIEEngineError, AMIERequestError, PacketInvalidData, ReplyIncomplete

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
CLASSES: dict[str, type[AMIEEngineError]] = {name: getattr(errors, name) for name in errors.__all__}
TREE_LINE = re.compile(
    r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +\((?P<base>[\w.]+)\))?(?: +(?P<code>[a-z-]+))?$"
)

FAMILY_CODES = {
    # The tree shows the codes of what is raised, and these are not, or seldom: each has one all the same.
    "AMIEEngineError": "amie-engine",
    "PacketError": "packet-error",
    "EngineError": "engine-error",
    "LogError": "log-error",
    "ExportError": "export-error",
    "SiteError": "site-error",
    "SandboxError": "sandbox-error",
    "SealError": "seal-error",
}


def drawn_tree() -> list[tuple[int, str, str | None, str | None]]:
    """The lines of the tree in the docstring: depth, class, the built-in or foreign base, code."""
    assert errors.__doc__ is not None
    drawn = errors.__doc__.split("::\n")[1].split("\n\nAn error says")[0]
    lines = [TREE_LINE.fullmatch(line.strip("\n")) for line in drawn.strip("\n").splitlines()]
    found = [match for match in lines if match is not None]
    assert len(found) == len(lines)
    margin = len(found[0]["indent"])
    return [((len(m["indent"]) - margin) // 4, m["name"], m["base"], m["code"]) for m in found]


class TestTree:
    def test_it_names_every_class_once(self) -> None:
        assert sorted(name for _, name, _, _ in drawn_tree()) == sorted(errors.__all__)

    def test_each_class_stands_under_its_base(self) -> None:
        above: dict[int, str] = {}
        for depth, name, _, _ in drawn_tree():
            above[depth] = name
            expected = CLASSES[above[depth - 1]] if depth else Exception
            assert CLASSES[name].__bases__[0] is expected

    def test_each_class_stands_beside_its_code(self) -> None:
        drawn = {name: code or FAMILY_CODES[name] for _, name, _, code in drawn_tree()}
        assert drawn == {name: error_class.code for name, error_class in CLASSES.items()}

    def test_the_other_bases_are_the_real_ones(self) -> None:
        for _, name, base, _ in drawn_tree():
            if base is not None:
                bases = {
                    f"{b.__module__}.{b.__qualname__}".removeprefix("builtins.")
                    for b in CLASSES[name].__mro__
                }
                bases |= {f"requests.{b.__qualname__}" for b in CLASSES[name].__mro__}
                assert base in bases

    def test_all_is_every_public_class(self) -> None:
        defined = {
            name
            for name, value in vars(errors).items()
            if inspect.isclass(value) and value.__module__ == errors.__name__
        }
        assert set(errors.__all__) == defined
        assert list(errors.__all__) == sorted(errors.__all__)


class TestCodes:
    def test_each_class_has_its_own(self) -> None:
        codes = [error_class.code for error_class in CLASSES.values()]
        assert len(set(codes)) == len(codes)
        assert all("code" in vars(error_class) for error_class in CLASSES.values())

    @pytest.mark.parametrize("name", errors.__all__)
    def test_they_are_lower_case_words(self, name: str) -> None:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", CLASSES[name].code)


class TestDocumentation:
    def test_it_has_a_section_for_each_code_in_the_order_of_the_tree(self) -> None:
        sections = re.findall(
            r"^#+ `([a-z-]+)`$", PAGE.split("\n## Reasons for quarantine\n")[0], re.MULTILINE
        )
        assert sections == [CLASSES[name].code for _, name, _, _ in drawn_tree()]

    @pytest.mark.parametrize("name", errors.__all__)
    def test_each_section_has_a_paragraph(self, name: str) -> None:
        section = re.split(rf"^#+ `{CLASSES[name].code}`$", PAGE, flags=re.MULTILINE)[1]
        paragraph = section.split("\n#")[0]
        assert len(paragraph.split()) >= 20

    def test_every_anchor_in_it_leads_somewhere(self) -> None:
        headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
        anchors = {heading.lower().replace("`", "").replace(" ", "-") for heading in headings}
        assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


class TestMessages:
    def test_what_happened_and_what_to_do_and_the_code(self) -> None:
        error = PacketInvalidData("The packet has no body.", hint="Ask for it again.")
        assert str(error) == "The packet has no body. Ask for it again. [packet-invalid-data]"
        assert (error.message, error.hint) == ("The packet has no body.", "Ask for it again.")

    def test_without_a_hint(self) -> None:
        assert (
            str(PacketInvalidData("The packet has no body."))
            == "The packet has no body. [packet-invalid-data]"
        )

    def test_a_class_has_a_hint_of_its_own(self) -> None:
        error = errors.TransactionNotFound("The log has no transaction 7.")
        assert error.hint == errors.TransactionNotFound.default_hint != ""
        assert errors.TransactionNotFound("x", hint="").hint == ""

    def test_what_is_missing_can_be_asked(self) -> None:
        assert ReplyIncomplete("x", missing=("ProjectID",)).missing == ("ProjectID",)

    def test_an_error_of_the_service_carries_its_answer(self) -> None:
        response = requests.Response()
        error = errors.ServiceConflict("x", response=response)
        assert error.response is response
        assert isinstance(error, requests.RequestException)
        assert isinstance(error, AMIERequestError)

    def test_only_what_mends_itself_is_retryable(self) -> None:
        assert {name for name, error_class in CLASSES.items() if error_class.retryable} == {
            "ServiceUnreachable",
            "ServiceRateLimited",
            "ServiceFault",
            "ServiceUnreadableAnswer",
            "DatabaseUnavailable",
            "ConnectionLost",
            "ConcurrencyConflict",
        }
