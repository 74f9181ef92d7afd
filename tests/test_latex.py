"""Formulas are broken at their terms, inside brackets if they must be, and stay the same formulas."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmsym.latex import lines, prose, width_of


def plain(text: str) -> str:
    return re.sub(r"\\left|\\right|\\bigl|\\bigr|[\s{}]", "", text)


def test_what_fits_is_left_alone():
    assert lines(r"\frac{a}{b} + c") == [r"\frac{a}{b} + c"]


def test_a_matrix_within_a_cell_has_rows_of_its_own():
    """Means of softmax online are a column of expectations, whose laws have covariance matrices."""
    inner = r"\begin{matrix}a & b\\c & d\end{matrix}"
    outer = rf"\begin{{matrix}}x + y_{{\left[{inner}\right]}}\\z\end{{matrix}}"
    assert width_of(outer) == pytest.approx(width_of(rf"x + y_{{\left[{inner}\right]}}") + 1)


def test_a_sum_is_broken_before_its_signs():
    found = lines(" + ".join(f"a_{{{i}}} b_{{{i}}}" for i in range(30)), width=20)
    assert len(found) > 3 and all(line.startswith("+") for line in found[1:])
    assert all(width_of(line) <= 20 for line in found)


def test_brackets_that_a_line_divides_have_a_size_of_their_own():
    inner = " + ".join(f"x_{{{i}}}" for i in range(20))
    found = lines(rf"c \left({inner}\right) + d", width=20)
    assert r"\bigl(" in found[0] and not any(r"\left" in line for line in found)
    assert sum(r"\bigr)" in line for line in found) == 1


@pytest.mark.parametrize(
    ("wide", "mark"),
    [
        (r"\frac{%s}{y}", "/"),
        (r"e^{%s}", r"\exp"),
        (r"\sqrt{%s}", "^{1/2}"),
        (r"{%s}", "x"),
    ],
)
def test_what_no_line_holds_is_written_in_another_way(wide, mark):
    found = lines(wide % " + ".join(f"x_{{{i}}}" for i in range(40)), width=20)
    assert len(found) > 2 and mark in " ".join(found)
    assert all(width_of(line) <= 20 for line in found)


def test_times_and_indices_are_not_broken():
    found = lines(" + ".join(f"R_{{k}}(t,s_{{{i}}})" for i in range(20)), width=15)
    assert all(line.count("(") == line.count(")") for line in found)


TERMS = ["a", r"\sum_{k=1}^{K} p_{k}", r"\left(x + y\right)", r"\bar a_{k}(t)", r"\alpha^{2}", r"{m}^{\top}"]


@given(st.lists(st.sampled_from(TERMS), min_size=1))
def test_no_token_is_lost(terms):
    formula = " + ".join(terms)
    assert plain(" ".join(lines(formula, width=12))) == plain(formula)


def test_words_within_a_formula_are_set():
    assert prose("inverse of Q_k, times w^2") == r"\text{inverse of }Q_{k}\text{, times w}{}^{2}"
    assert prose("optimizer heavy_ball") == r"\text{optimizer heavy}\_\text{ball}"
    assert prose("theta_0 of } 5% \\input") == r"\theta_{0}\text{ of }\}\text{ 5}\%\text{ }\backslash{}\text{input}"
