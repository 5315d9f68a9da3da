"""Writes differential_corners.json: what transformers' own environment of jinja2 makes of small templates.

    python generate_corners.py

Needs transformers and jinja2; the versions are named in the file.
"""

import json
import os
import sys

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

CHAIN = "{% set ns = namespace(p=0) %}{% for i in range(9) %}{% for j in [0] %}"

# jinja2 folds `'nan'|float` into a constant that it then cannot write down: NaN comes as a variable.
CONTEXT = {"n": float("nan"), "f": 2.0}

# Name of a group: its templates.
GROUPS = {
    "changed": [
        "{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}",
        "{% for i in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}",
        CHAIN + "{{ loop.changed(ns.p) }}{% set ns.p = loop %}{% endfor %}{% endfor %}",
        "{% set ns = namespace() %}{% for i in [1] %}{% set ns.l = loop %}{{ loop.changed(1) }}{% endfor %}"
        "{{ ns.l.changed(1) }}{{ ns.l.changed(2) }}",
    ],
    "NaN": [
        "{{ ([('nan'|float)] * 100) | unique | list | length }}",
        "{{ ([(('nan'|float), 1)] * 100) | unique | list | length }}",
        "{{ n == n }}{{ n in [n] }}{{ [n] == [n] }}{{ (n,) == (n,) }}{{ {'k': n} == {'k': n} }}",
        "{{ {n: 1}[n] }}{{ [1, n].index(n) }}{{ [n, n].count(n) }}{{ [n] < [n] }}{{ [n, 1] < [n, 2] }}",
        "{{ n < 1 }}{{ n <= n }}{{ n != n }}{{ n is eq n }}",
        "{{ [range(1, 2), range(2, 3), range(1, 2, 9), range(0), range(5, 1)] | unique | list }}",
    ],
    "many variables": [
        "{% for i in [1, 2] %}{{ v5 is defined }}"
        + "".join("{%% set v%d = %d %%}" % (i, i) for i in range(40))
        + "{% set v5 = v5 + v39 %}{{ v0 }}{{ v15 }}{{ v16 }}{{ v17 }}{{ v39 }}{{ v5 }} {% endfor %}{{ v5 is defined }}",
        "".join("{%% with a%d = %d %%}" % (i, i) for i in range(15)) + "{{ a0 }}{{ a14 }}" + "{% endwith %}" * 15,
    ],
    "cases": [
        "{{ 'heLLO wORLD-foo (bar) [x] {y} <z> a_b it\\'s 1a'|title }}",
        "{{ 'heLLO\\twORLD\\u00a0\\u00e9a \\u00e9'|title }}",
        "{{ 'aB1_-\\u00e9\\u00df'.swapcase() }}{{ 'aB1_-'.swapcase() }}",
        "{% for s in ['', 'a', 'A', 'aB', '1', '12', ' ', '\\t', '\\x1c', '_', 'a1', '\\x7f', '~', '\\u00b2', '\\u0663', "
        "'\\u2160', 'Ab Cd', 'AB', '\\u01c5', '\\u00e9'] %}{{ s.isdigit() }}{{ s.isdecimal() }}{{ s.isnumeric() }}"
        "{{ s.isalpha() }}{{ s.isalnum() }}{{ s.isspace() }}{{ s.isprintable() }}{{ s.isupper() }}{{ s.islower() }}"
        "{{ s.istitle() }}{{ s is upper }}{{ s is lower }}{{ s|wordcount }}\n{% endfor %}",
    ],
    "unknown names": [
        "{{ [1]|nosuch if false else 2 }}",
        "{{ ([1]|nosuch)|length if false else 2 }}",
        "{{ 2 if true else [1]|nosuch }}{{ 3 if true or 1 is nosuch }}{{ 4 if 1 is not nosuch }}",
        "{{ (1 is nosuch) ~ (1 if false) }}",
        "{{ [1]|nosuch }}{{ 2 if true }}",
        "{{ [1|nosuch, 1 if true] }}",
        "{{ 1|nosuch if true else 2 }}",
        "{% if false %}{{ 1|nosuch }}{% endif %}{% if true %}a{% elif 1|nosuch %}b{% endif %}",
        "{% if 1|nosuch %}b{% endif %}",
        "{% if false %}{% for i in [] %}{{ i|nosuch }}{% endfor %}{% endif %}",
        "{% macro m(x) %}{{ x|pprint }}{{ x|wordwrap }}{{ x|striptags }}{{ x|random }}{{ x|filesizeformat }}"
        "{{ x|xmlattr }}{{ x|urlize }}{% endmacro %}{{ 'urlize' is filter }}",
    ],
    "methods": [
        "{{ 1.5.is_integer() }}{{ 2.0.is_integer() }}{{ 1e300.is_integer() }}",
        "{{ f.is_integer() }}{{ n.is_integer() }}",
        "{% for s in ['', 'a', '_', '1', 'a1', 'a-b', ' a', 'for', '\u00e9t\u00e9', '\u0661', 'a\u0661', '\u2603'] %}"
        "{{ s.isidentifier() }}{% endfor %}",
        "{{ '{a}{b[c]}{{{a!r:>4}'.format_map({'a': 'x', 'b': {'c': 1}}) }}",
        "{{ '{a}'.format_map({'b': 1}) }}",
        "{{ '{}'.format_map({'b': 1}) }}",
        "{{ '{a}'.format_map(1) }}",
        "{{ ('<{a}>'|safe).format_map({'a': '<'}) }}",
    ],
    "large integers": [
        "{{ 99999999999999999999 }} {{ -99999999999999999999 }} {{ +99999999999999999999 }}",
        "{{ 9223372036854775807 }} {{ 9223372036854775808 }} {{ -9223372036854775808 }} {{ -(-9223372036854775809) }}",
        "{{ [1_000_000_000_000_000_000_000]|tojson }}{{ 99999999999999999999 is integer }}",
        "{{ 1 is eq 99999999999999999999 }}{{ 99999999999999999999 == 99999999999999999999 }}",
        "{{ 99999999999999999999|float }}{{ 99999999999999999999|int }}",
        "{{ '99999999999999999999'|int }} {{ ' -0099999999999999999999 '|int }} {{ '+99999999999999999999'|int }}",
        "{{ '9999999999999999999x'|int(3) }} {{ '99999999999999999999'|int(base=10) }} {{ '１２'|int }} {{ '-１_２'|int }}",
        "{{ '１.５'|float }} {{ '٣'|int }} {{ '²'|int(7) }} {{ '12'|int(base=3) }}",
        "{% if false %}{{ 99999999999999999999 }}{% endif %}a",
    ],
    "exact numbers": [
        "{{ 9007199254740993 / 3 }} {{ 9007199254740993 / 1 }} {{ 9223372036854775807 / 9223372036854775806 }}",
        "{{ 1 / 9007199254740993 }} {{ -9007199254740995 / 7 }} {{ 9007199254740995 / -7 }} {{ 0 / -9007199254740993 }}",
        "{{ 9223372036854775807 / 2 }} {{ -9223372036854775807 / 9007199254740993 }} {{ 3 / 9223372036854775807 }}",
        "{{ 9007199254740993 > 9007199254740992.0 }}{{ 9007199254740993 < 9007199254740992.0 }}"
        "{{ 9007199254740993 >= 9007199254740992.0 }}{{ 9007199254740993 == 9007199254740992.0 }}",
        "{{ 9007199254740992.0 < 9007199254740993 }}{{ 9007199254740992.0 <= 9007199254740993 }}"
        "{{ 9007199254740992.0 >= 9007199254740993 }}{{ 9007199254740992.0 > 9007199254740991 }}",
        "{{ 9223372036854775807 < 9223372036854775808.0 }}{{ 9223372036854775808.0 > 9223372036854775807 }}"
        "{{ 9223372036854775807 > 9223372036854775808.0 }}{{ 9223372036854775808.0 <= 9223372036854775807 }}",
        "{{ -9223372036854775807 > -9223372036854775808.0 }}{{ -9223372036854775808.0 < -9223372036854775807 }}",
        "{{ [9007199254740993, 9007199254740992.0, 1, 1.5]|sort }}{{ [9007199254740993, 9007199254740992.0]|min }}",
        "{{ 1 < n }}{{ n < 1 }}{{ 1 < 1e400 }}{{ -1e400 < 1 }}{{ true < 1.5 }}{{ 1.0 < true }}",
    ],
    "line ends and escapes": [
        "a\r\rb",
        "a\r\r\r\nb\r\n\rc\r",
        "\r{{ 1 }}\n\r\n",
        "{{ 'a\rb\r\rc' }}{% if true %}\r\rx{% endif %}",
        r"{{ '\é' }}{{ '\｜' }}{{ '\😀' }}{{ '\\é' }}{{ '\\\é' }}{{ '\q' }}",
    ],
    "blocks and loops": [
        "{% for i in [1] %}{% block b %}{{ i }}{% endblock %}{% endfor %}",
        "{% for i in [1] %}{% block b scoped %}{{ i }}{% endblock %}{% endfor %}",
        "{% set x = 1 %}{% if true %}{% set y = 2 %}{% endif %}"
        "{% block b %}{{ x }}{{ y }}{% set x = 3 %}{{ x }}{% endblock %}{{ x }}",
        "{% macro m(x) %}{% block b %}{{ x }}{% endblock %}{% endmacro %}{{ m(5) }}",
        "{% for i in [1] %}{% block b %}{% break %}{% endblock %}{% endfor %}",
        "{% for i in [1] %}{% set loop = 3 %}{% endfor %}",
        "{% for loop in [1] %}{% endfor %}",
        "{% for a, loop in [[1, 2]] %}{% endfor %}",
        "{% set loop = 3 %}{{ loop }}",
    ],
    "formats": [
        "{{ '{} {0}'.format(1) }}",
        "{{ '{0} {}'.format(1) }}",
        "{{ '{:{}} {}'.format(1, 4, 2) }}",
        "{{ '{0:{1}}'.format(1, 4) }}",
        "{{ '{:.3} {:.3} {:.3} {:.3}'.format(1234.5, 12.0, 123.0, 100.0) }}",
        "{{ '{:.1} {:.1} {:.0} {:.2} {:.4}'.format(0.0, 5.0, 1.5, 99.9, 1205.5) }}",
        "{{ '{:.3} {:.17} {:10.4}|'.format(0.00001234, 0.1, 2.0) }}",
        "{{ '%a %r' % ('é\n😀', 'é') }}{{ '{!a} {!r}'.format('€', '€') }}",
    ],
    "attributes": [
        "{{ {'__class__': 1}.__class__ }}|{{ {'__class__': 1}['__class__'] }}|{{ {'__mine__': 1}.__mine__ }}",
        "{{ ''.__class__ }}{{ 1.5.__class__ }}|{{ {}.__init__ is defined }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ {'_a': 1}._a }}{{ {'__a': 2}.__a }}",
    ],
}


def render(source):
    try:
        return {"expected": _compile_jinja_template(source).render(**CONTEXT)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    cases = []
    for group, sources in GROUPS.items():
        for index, source in enumerate(sources):
            cases.append({"name": f"{group} {index + 1}", "template": source, "context": CONTEXT} | render(source))
    versions = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}, CPython {sys.version.split()[0]}"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "differential_corners.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"renderer": versions, "cases": cases}, file, ensure_ascii=False, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
