#!/usr/bin/env python3
"""Writes vectors.json: what the reference implementations say of published, random and extreme inputs.

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0 evidently==0.7.23 pandas==2.3.3
    /tmp/vectors/bin/python make_vectors.py > vectors.json

A case is {"macro", "args", "want", "by"}. A number with a point or an exponent is a float, any other an integer. Where
a reference is only as good as its own rounding (the ends of its range, differences of almost equal numbers), exact
arithmetic of fractions gives the case. Running it again must change nothing.
"""
import json
import math
import random
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from evidently.legacy.calculations.stattests.chisquare_stattest import _chi_stat_test
from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.calculations.stattests.wasserstein_distance_norm import _wasserstein_distance_norm
from evidently.legacy.core import ColumnType
from scipy.stats import _stats_py
from statsmodels.stats.proportion import proportions_ztest

PINS = {"numpy": "2.4.6", "scipy": "1.17.1", "statsmodels": "0.15.0", "evidently": "0.7.23", "pandas": "2.3.3"}
for name, pin in PINS.items():
    assert version(name) == pin, f"{name} is {version(name)}, not {pin}"

rng = random.Random(20261125)
cases = []


def add(macro, args, want, by):
    def plain(v):
        if isinstance(v, dict):
            return {k: plain(x) for k, x in v.items()}
        if isinstance(v, (list, tuple)):
            return [plain(x) for x in v]
        return v.item() if hasattr(v, "item") else v

    cases.append({"macro": macro, "args": plain(args), "want": plain(want), "by": by})


def lognormal(low, high):
    return 10 ** rng.uniform(low, high)


# --- building blocks ---------------------------------------------------------------------------------------------------
for df, x in [(1, 3.841), (2, 5.991), (4, 9.488), (10, 18.307), (100, 124.342), (1, 10.828)]:  # tables of chi-square
    add("gamma_q", [df / 2, x / 2], scipy.stats.chi2.sf(x, df), "scipy.stats.chi2.sf")
for _ in range(40):
    a = lognormal(-1, 6)
    x = a * math.exp(rng.gauss(0, 1) * rng.choice([1, 5]) / math.sqrt(a))
    if scipy.special.gammaincc(a, x) > 1e-290:
        add("gamma_q", [a, x], scipy.special.gammaincc(a, x), "scipy.special.gammaincc")
for a, x in [(0.5, 600.0), (0.5, 1e-12), (50.0, 700.0), (1e6, 1.02e6), (2.5, 1e-3)]:
    add("gamma_q", [a, x], scipy.special.gammaincc(a, x), "scipy.special.gammaincc")
for _ in range(40):
    a, b = lognormal(-1, 5), lognormal(-1, 5)
    x = a / (a + b) * math.exp(rng.gauss(0, 1) / math.sqrt(min(a, b)))
    if x < 1 and scipy.special.betainc(a, b, x) > 1e-290:
        add("beta_i", [a, b, x], scipy.special.betainc(a, b, x), "scipy.special.betainc")
for z in [-37.0, -8.0, -1.959963984540054, -1.0, -1e-9, 0.0, 1.0, 1.6448536269514722, 6.0]:
    add("normal_cdf", [z], scipy.stats.norm.cdf(z), "scipy.stats.norm.cdf")
    add("normal_p", [z], 2 * scipy.stats.norm.sf(abs(z)), "scipy.stats.norm.sf")
for t, df in [(12.706, 1), (2.228, 10), (1.96, 1e9), (0.0, 3), (1e-6, 5), (200.0, 2), (30.0, 9999.0), (30.0, 10001.0), (-2.0, 7.5)]:
    add("student_t_p", [t, df], 2 * scipy.stats.t.sf(abs(t), df), "scipy.stats.t.sf")
for _ in range(30):
    t, df = lognormal(-3, 1.5), lognormal(-0.3, 8)
    if scipy.stats.t.sf(t, df) > 1e-290:
        add("student_t_p", [t, df], 2 * scipy.stats.t.sf(t, df), "scipy.stats.t.sf")
for df in [0.5, 1, 2, 3.7, 30, 123.4, 9999.0, 10001.0, 1e7]:
    add("student_t_95", [df], scipy.stats.t.isf(0.025, df), "scipy.stats.t.isf")


# --- counts of categories ----------------------------------------------------------------------------------------------
PEAS = ([312, 104, 104, 35], [315, 101, 108, 32])  # Mendel 1866, 9:3:3:1 of 555 (rounded) and what he counted
BERKELEY = ([1198, 1493], [557, 1278])  # admissions to Berkeley 1973, men and women, Bickel et al. 1975
AIRLINE = ([21, 29], [22, 28])  # rewards of two trials of tau-bench's airline runs


def columns(ref, cur):
    return tuple(pd.Series([f"c{i}" for i, n in enumerate(counts) for _ in range(n)], dtype=str) for counts in (ref, cur))


def evidently(test, ref, cur, kind):
    return test(ref, cur, kind, 0.1)[0]


CATEGORY, NUMBER = ColumnType.Categorical, ColumnType.Numerical


def category_case(ref, cur):
    a, b = columns(ref, cur)
    add("psi", [ref, cur], evidently(_psi, a, b, CATEGORY), "evidently psi, categorical")
    add("js_distance", [ref, cur], evidently(_jensenshannon, a, b, CATEGORY), "evidently jensenshannon, categorical")
    kept = [(r, c) for r, c in zip(ref, cur) if r or c]
    if len(kept) > 1:
        x, p, df, _ = scipy.stats.chi2_contingency(np.array(kept).T, correction=False)
        add("chi2_pooled", [ref, cur], {"statistic": x, "df": df, "p": p}, "scipy.stats.chi2_contingency")
        if all(r for r, _ in kept):
            scale = sum(cur) / sum(ref)
            got = scipy.stats.chisquare([c for _, c in kept], [r * scale for r, _ in kept])
            assert math.isclose(got.pvalue, evidently(_chi_stat_test, a, b, CATEGORY), rel_tol=1e-9, abs_tol=1e-300)
            add("chi2", [ref, cur], {"statistic": got.statistic, "df": len(kept) - 1, "p": got.pvalue}, "scipy.stats.chisquare as evidently calls it")


for ref, cur in (PEAS, BERKELEY, AIRLINE):
    category_case(ref, cur)
category_case([100, 50, 0, 0], [90, 40, 20, 0])
category_case([30000, 1, 2], [20000, 0, 9])  # the smallest share is below 0.0001
category_case([10, 0], [0, 10])
category_case([1, 1], [1, 3])
for _ in range(16):
    n = rng.choice([2, 3, 5, 12, 60])
    ref = [rng.randrange(0 if rng.random() < 0.3 else 1, rng.choice([4, 40, 900])) for _ in range(n)]
    cur = [rng.randrange(0, rng.choice([4, 40, 900])) for _ in range(n)]
    if sum(ref) and sum(cur) and max(min(ref), min(cur)) >= 0:
        category_case(ref, cur)

# --- lists of values ---------------------------------------------------------------------------------------------------
SLEEP = ([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])  # Student 1908


def value_case(a, b):
    ra, rb = pd.Series(a), pd.Series(b)
    add("psi_numeric", [a, b], evidently(_psi, ra, rb, NUMBER), "evidently psi, numerical")
    js = evidently(_jensenshannon, ra, rb, NUMBER)
    if js > 1e-6 and not math.isnan(js):
        add("js_numeric", [a, b], js, "evidently jensenshannon, numerical")
    w = scipy.stats.wasserstein_distance(a, b)
    assert math.isclose(evidently(_wasserstein_distance_norm, ra, rb, NUMBER), w / max(np.std(a), 0.001), rel_tol=1e-12)
    add("wasserstein", [a, b], w, "scipy.stats.wasserstein_distance")
    got = scipy.stats.ks_2samp(a, b)
    add("ks_2samp", [a, b], {"statistic": got.statistic, "p": got.pvalue}, "scipy.stats.ks_2samp")


value_case(*SLEEP)
value_case(SLEEP[1], SLEEP[0][:7])
value_case([1, 2, 3], [1, 2, 3])
value_case([1.5], [2.5, 1.5, 1.5])
value_case(list(range(64)), list(range(64, 0, -1)))  # log2 of the sizes is whole, numpy's ceil goes one up or not
value_case(list(range(21)) * 2, [3, 3, 3, 40])
value_case(list(range(20)) * 3, [1, 1, 7, 25])  # 20 values: not binned
value_case([x / 10 for x in range(32)], [x / 10 for x in range(32)])
SPARSE = (list(range(21)) * 480 + [1000], [4, 5, 6] * 7 + [900])  # bins that nobody is in, and fills that differ
add("psi_numeric", SPARSE, evidently(_psi, *map(pd.Series, SPARSE), NUMBER), "evidently psi, numerical")
for _ in range(22):
    n, m = rng.choice([3, 12, 40, 110]), rng.choice([2, 17, 40, 90])
    shift, wide = rng.choice([0, 0.3, 2]), rng.choice([1, 1.5])
    draw = rng.choice([lambda: round(rng.gauss(0, 1), 3), lambda: round(rng.expovariate(0.01), 1), lambda: float(rng.randrange(9)), lambda: rng.randrange(400)])
    value_case([draw() for _ in range(n)], [type(v)(v * wide + shift) for v in (draw() for _ in range(m))])

# --- p of Kolmogorov and Smirnov ---------------------------------------------------------------------------------------


def ks_case(d, n1, n2):
    g = math.gcd(n1, n2)
    lcm = n1 // g * n2
    d = min(1.0, max(1, round(d * lcm)) / lcm)
    if max(n1, n2) <= 10000:
        ok, _, p = _stats_py._attempt_exact_2kssamp(n1, n2, g, d, "two-sided")
        # not ok is also a p that its rounding puts just above 1, for which SciPy goes over to the asymptotic one
        assert ok or 1 < p < 1 + 1e-12, (d, n1, n2, p)
        add("ks_p", [d, n1, n2], min(1.0, p), "scipy.stats.ks_2samp, exact")
    else:
        en = np.round(float(n1) * n2 / (n1 + n2))
        add("ks_p", [d, n1, n2], float(np.clip(scipy.stats.kstwo.sf(d, en), 0, 1)), "scipy.stats.ks_2samp, asymp")


for n1, n2 in [(1, 1), (1, 7), (5, 5), (5, 6), (10, 10), (100, 100), (100, 101), (1000, 1000), (1000, 800), (10000, 10000), (10000, 3), (3000, 120)]:
    for z in (0.4, 1.36, 3.5):
        ks_case(z * math.sqrt((n1 + n2) / (n1 * n2)), n1, n2)
ks_case(1.0, 10000, 10000)
for n1, n2 in [(10001, 1), (10001, 3), (20000, 40), (50000, 139), (12000, 150), (10001, 10001), (30000, 2500), (400000, 300000), (3000000, 2000000), (10**8, 10**8)]:
    for z in (0.3, 0.6, 1.36, 1.9, 2.5, 12):
        ks_case(z * math.sqrt((n1 + n2) / (n1 * n2)), n1, n2)
for n, d in [(1, 0.7), (2, 0.3), (7, 0.95), (10, 0.41), (140, 0.05), (140, 0.16), (141, 0.03), (141, 0.2), (1999, 0.0079), (2001, 0.0078), (10000, 0.003), (90000, 0.0006), (20, 0.6)]:
    add("kolmogorov_p", [n, d], scipy.stats.kstwo.sf(d, n), "scipy.stats.kstwo.sf")

# --- moments and counts ------------------------------------------------------------------------------------------------


def welch_case(m1, v1, n1, m2, v2, n2):
    got = scipy.stats.ttest_ind_from_stats(m1, math.sqrt(v1), n1, m2, math.sqrt(v2), n2, equal_var=False)
    a, b = v1 / n1, v2 / n2
    df = (a + b) ** 2 / (a * a / (n1 - 1) + b * b / (n2 - 1))
    half = scipy.stats.t.isf(0.025, df) * math.sqrt(a + b)
    add("welch_t", [m1, v1, n1, m2, v2, n2], {"t": got.statistic, "df": df, "p": got.pvalue, "lo": m1 - m2 - half, "hi": m1 - m2 + half}, "scipy.stats.ttest_ind_from_stats, equal_var=False")


welch_case(15.0, 87.5, 13, 12.0, 39.0, 11)  # the example of SciPy's documentation
welch_case(float(np.mean(SLEEP[0])), float(np.var(SLEEP[0], ddof=1)), 10, float(np.mean(SLEEP[1])), float(np.var(SLEEP[1], ddof=1)), 10)
welch_case(0.5, 0.25, 2, 0.4, 0.0, 2)
welch_case(10.0, 1.0, 10**9, 9.9999, 2.0, 10**9)
for _ in range(25):
    welch_case(rng.gauss(0, 5), lognormal(-3, 3), rng.choice([2, 3, 20, 5000, 10**6]), rng.gauss(0, 5), lognormal(-3, 3), rng.choice([2, 3, 20, 5000, 10**6]))


def proportion_case(x1, n1, x2, n2):
    z, p = proportions_ztest([x1, x2], [n1, n2])
    add("two_proportion_z", [x1, n1, x2, n2], {"z": z, "p": p}, "statsmodels proportions_ztest")


proportion_case(5, 83, 12, 99)  # the example of statsmodels' documentation
proportion_case(83, 86, 70, 82)  # smokers, Fleiss 1981
proportion_case(21, 50, 22, 50)
proportion_case(0, 10, 10, 10)
proportion_case(10**12, 10**13, 10**12 + 10**7, 10**13)
for _ in range(20):
    n1, n2 = rng.choice([1, 9, 200, 10**6]) + 1, rng.choice([1, 9, 200, 10**6])
    x1, x2 = rng.randrange(n1 + 1), rng.randrange(n2 + 1)
    if 0 < x1 + x2 < n1 + n2:
        proportion_case(x1, n1, x2, n2)

for n, c, k in [(4, 0, 1), (4, 4, 4), (4, 2, 2), (4, 1, 4), (200, 37, 1), (200, 37, 10), (200, 37, 100), (200, 1, 1), (5000, 3, 700), (1000, 999, 2), (100000, 7, 2)]:
    at, hat = 1 - Fraction(math.comb(n - c, k), math.comb(n, k)), Fraction(math.comb(c, k), math.comb(n, k))
    add("pass_at_k", [n, c, k], float(at), "Chen et al. 2021, 1 - C(n - c, k) / C(n, k), by fractions")
    add("pass_hat_k", [n, c, k], float(hat), "Yao et al. 2024, C(c, k) / C(n, k), by fractions")

print('{"versions": %s, "cases": [' % json.dumps(PINS))
print(",\n".join(json.dumps(c, allow_nan=False) for c in cases))
print("]}")
