package queries

// stats are functions of statistics on counts, moments and lists of values, all
// in SQL. list_transform([{…}], lambda v: …)[1] gives values names: an argument
// may be a costly expression, and each use would evaluate it anew.
// list_reduce goes through a series or a continued fraction from its far end. Its
// lambda must use nothing but its own two arguments: in DuckDB 1.5 values from
// outside come from another row once the list of one row is at its end.
var stats = []macro{
	// Building blocks.
	{"ln_1p", "x", `CASE WHEN x <= -1 THEN NULL WHEN 1 + x = 1 THEN x ELSE x * (ln(1 + x) / ((1 + x) - 1)) END`,
		"ln(1 + x), precise for small x"},
	{"stirling_error", "a", `CASE WHEN a < 16 THEN lgamma(a) - (a - 0.5) * ln(a) + a - 0.91893853320467274178::DOUBLE
		ELSE (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / (a * a)) / (a * a)) / (a * a)) / (a * a)) / a END`,
		"lgamma(a) less Stirling's formula, of a above 0"},
	{"deviance", "a, m", `CASE WHEN abs(m - a) < 0.5 * a THEN (m - a) - a * ln_1p((m - a) / a) ELSE a * ln(a / m) + (m - a) END`,
		"a ln(a / m) + m - a, of a and m above 0: with it tails are precise where differences of big logarithms are not (Loader 2000)"},
	{"gamma_front", "a, x", `sqrt(a / (2 * pi())) * exp(-deviance(a, x) - stirling_error(a))`,
		"x^a exp(-x) / gamma(a), of a and x above 0"},
	{"gamma_q", "a, x", `list_transform([{a: CAST(a AS DOUBLE), x: CAST(x AS DOUBLE)}], lambda v: CASE
		WHEN v.a IS NULL OR v.x IS NULL OR isnan(v.a) OR isnan(v.x) OR v.a <= 0 OR v.a > 1e7 OR v.x < 0 THEN NULL
		WHEN v.x = 0 THEN 1.0
		WHEN v.x > 1e6 + 1e3 * v.a THEN 0.0
		WHEN v.x < v.a + 1 THEN greatest(0.0, 1 - gamma_front(v.a, v.x) / v.a * list_reduce(
			list_transform(range(CAST(60 + 10 * sqrt(v.a) AS BIGINT), 0, -1), lambda k: v.x / (v.a + k)), lambda t, q: 1 + q * t, CAST(1 AS DOUBLE)))
		ELSE gamma_front(v.a, v.x) / (v.x + 1 - v.a) / list_reduce(list_transform(range(CAST(120 + 10 * sqrt(v.a) AS BIGINT), -1, -1),
			lambda k: (k + 1) * (k + 1 - v.a) / ((v.x + 2 * k + 1 - v.a) * (v.x + 2 * k + 3 - v.a))), lambda t, q: 1 - q / t, CAST(1 AS DOUBLE))
		END)[1]`,
		"regularized upper incomplete gamma function Q(a, x), of a up to 1e7: p of a chi-square is gamma_q(df / 2, statistic / 2)"},
	{"beta_front", "a, b, x, y", `sqrt(a * b / (2 * pi() * (a + b))) * exp(-deviance(a, (a + b) * x) - deviance(b, (a + b) * y)
		+ stirling_error(a + b) - stirling_error(a) - stirling_error(b))`,
		"x^a y^b / B(a, b), of a and b above 0, y being 1 - x"},
	{"beta_fraction", "a, b, x", `list_reduce(list_transform(range(CAST(200 + 10 * sqrt(a + b) AS BIGINT), 0, -1), lambda k:
		CASE WHEN k % 2 = 1 THEN -(a + k // 2) * (a + b + k // 2) * x ELSE (k // 2) * (b - k // 2) * x END / ((a + k - 1) * (a + k))), lambda t, q: 1 + q / t, CAST(1 AS DOUBLE))`,
		"beta_front(a, b, x, 1 - x) / a / beta_i(a, b, x), by continued fraction where x is at most (a + 1) / (a + b + 2)"},
	{"beta_pair", "a, b, x, y", `list_transform([{a: CAST(a AS DOUBLE), b: CAST(b AS DOUBLE), x: CAST(x AS DOUBLE), y: CAST(y AS DOUBLE)}], lambda v: CASE
		WHEN v.a IS NULL OR v.b IS NULL OR v.x IS NULL OR v.y IS NULL OR NOT (v.a > 0 AND v.a <= 1e9 AND v.b > 0 AND v.b <= 1e9) OR NOT (v.x >= 0 AND v.x <= 1) THEN NULL
		WHEN v.x <= 0 THEN 0.0
		WHEN v.y <= 0 THEN 1.0
		WHEN v.x <= (v.a + 1) / (v.a + v.b + 2) THEN least(1.0, beta_front(v.a, v.b, v.x, v.y) / v.a / beta_fraction(v.a, v.b, v.x))
		ELSE greatest(0.0, 1 - beta_front(v.b, v.a, v.y, v.x) / v.b / beta_fraction(v.b, v.a, v.y)) END)[1]`,
		"beta_i(a, b, x), given y = 1 - x for where x is close to 1"},
	{"beta_i", "a, b, x", `beta_pair(a, b, x, 1 - x)`, "regularized incomplete beta function I(a, b; x), of a and b up to 1e9"},
	{"normal_p", "z", `gamma_q(0.5, CAST(z AS DOUBLE) * z / 2)`, "probability that a standard normal value is at least as far from 0 as z, on either side"},
	{"normal_cdf", "z", `CASE WHEN z < 0 THEN normal_p(z) / 2 ELSE 1 - normal_p(z) / 2 END`, "probability that a standard normal value is at most z"},
	{"student_t_p", "t, df", `list_transform([{t: abs(CAST(t AS DOUBLE)), df: CAST(df AS DOUBLE)}], lambda v: CASE
		WHEN v.t IS NULL OR isnan(v.t) OR v.df IS NULL OR NOT v.df > 0 THEN NULL
		WHEN v.t = 0 THEN 1.0
		WHEN v.df < 1e4 THEN beta_pair(v.df / 2, 0.5, 1 / (1 + v.t / v.df * v.t), 1 / (1 + v.df / v.t / v.t))
		-- Hill 1970, algorithm 395: a normal value as far out
		ELSE list_transform([{y: (v.df - 0.5) * ln_1p(v.t / v.df * v.t), b: 48 * pow(v.df - 0.5, 2)}], lambda h:
			gamma_q(0.5, h.y / 2 * pow(1 + (h.y + 3 - (((0.4 * h.y + 3.3) * h.y + 24) * h.y + 85.5) / (0.8 * h.y * h.y + 100 + h.b)) / h.b, 2)))[1]
		END)[1]`,
		"probability that a value of Student's t with df degrees of freedom is at least as far from 0 as t, on either side"},
	// Newton on the logarithms of t and p, between which there is almost a line;
	// Fisher and Cornish's series around the normal distribution's for many degrees of freedom.
	{"student_t_95", "df", `list_transform([CAST(df AS DOUBLE)], lambda g: CASE
		WHEN g IS NULL OR isnan(g) OR g < 0.1 THEN NULL
		WHEN g > 1e4 THEN 1.95996398454005424 + 2.372271230298563 / g + 2.822498615739612 / (g * g) + 2.5558496795077237 / (g * g * g)
		ELSE exp(list_reduce(list_transform(range(12), lambda k: [CAST(0 AS DOUBLE)]), lambda s, k: list_transform([{u: s[1], g: s[2], a: s[2] / 2,
			x: 1 / (1 + exp(2 * s[1]) / s[2]), y: 1 / (1 + s[2] * exp(-2 * s[1]))}], lambda w:
			list_transform([{u: w.u, g: w.g, a: w.a, p: beta_front(w.a, 0.5, w.x, w.y), f: beta_fraction(w.a, 0.5, w.x)}], lambda h:
				[h.u + ln(h.p / h.a / h.f / 0.05) / (2 * h.a * h.f), h.g])[1])[1],
			[0.5 * ln(g * (pow(0.05, -2 / g) - 1)), g])[1]) END)[1]`,
		"t that is exceeded on either side with a probability of 5 %: of a 95 % confidence interval"},

	// Counts of categories, a list for each window, in the same order.
	{"count_pairs", "ref_counts, cur_counts", `list_filter(list_transform(list_zip(CAST(ref_counts AS DOUBLE[]), CAST(cur_counts AS DOUBLE[])),
		lambda z: {r: greatest(coalesce(z[1], 0), 0), c: greatest(coalesce(z[2], 0), 0)}), lambda z: z.r > 0 OR z.c > 0)`,
		"the counts as a list of {r, c}, without categories that neither has"},
	{"count_table", "ref_counts, cur_counts", `list_transform([count_pairs(ref_counts, cur_counts)], lambda z: {pairs: z,
		n: list_sum(list_transform(z, lambda w: w.r)), m: list_sum(list_transform(z, lambda w: w.c)),
		r_min: list_min(list_transform(list_filter(z, lambda w: w.r > 0), lambda w: w.r)),
		c_min: list_min(list_transform(list_filter(z, lambda w: w.c > 0), lambda w: w.c))})[1]`,
		"count_pairs, with the sums n and m and the smallest counts above 0"},
	{"fill_share", "share, least_share", `CASE WHEN share > 0 THEN share WHEN least_share <= 0.0001 THEN least_share / 1e6 ELSE CAST(0.0001 AS DOUBLE) END`,
		"Evidently's share of an empty category"},
	// Categories that neither window has count where the fills of both differ, as Evidently's empty bins do.
	{"psi", "ref_counts, cur_counts", `list_transform([{t: count_table(ref_counts, cur_counts), z: list_zip(CAST(ref_counts AS DOUBLE[]), CAST(cur_counts AS DOUBLE[]))}], lambda v: CASE WHEN v.t.n > 0 AND v.t.m > 0 THEN
		list_sum(list_transform(list_transform(v.z, lambda w: {r: fill_share(coalesce(w[1], 0) / v.t.n, v.t.r_min / v.t.n), c: fill_share(coalesce(w[2], 0) / v.t.m, v.t.c_min / v.t.m)}),
			lambda w: (w.r - w.c) * ln(w.r / w.c))) END)[1]`,
		"population stability index of counts by category, as Evidently's: an empty share is 0.0001, or a millionth of the smallest if that is at most 0.0001. psi(list(ref_n ORDER BY value), list(cur_n ORDER BY value))"},
	{"js_distance", "ref_counts, cur_counts", `list_transform([count_table(ref_counts, cur_counts)], lambda v: CASE WHEN v.n > 0 AND v.m > 0 THEN
		sqrt(greatest(0.0, list_sum(list_transform(v.pairs, lambda w: list_transform([{s: w.r / v.n + w.c / v.m, d: (w.c / v.m - w.r / v.n) / (w.r / v.n + w.c / v.m)}], lambda h:
			h.s / 4 * (coalesce((1 + h.d) * ln_1p(h.d), 0.0) + coalesce((1 - h.d) * ln_1p(-h.d), 0.0)))[1])))) END)[1]`,
		"Jensen-Shannon distance of counts by category, of natural logarithms (0 to 0.8326) as SciPy's and Evidently's"},
	{"chi2", "ref_counts, cur_counts", `list_transform([count_table(ref_counts, cur_counts)], lambda v: CASE WHEN v.n > 0 AND v.m > 0 THEN
		list_transform([{df: len(v.pairs) - 1, x: CASE WHEN len(list_filter(v.pairs, lambda w: w.r = 0)) > 0 THEN NULL
			ELSE list_sum(list_transform(v.pairs, lambda w: pow(w.c - w.r * (v.m / v.n), 2) / (w.r * (v.m / v.n)))) END}], lambda h:
			{statistic: h.x, df: h.df, p: CASE WHEN h.x IS NULL THEN 0.0 WHEN h.df = 0 THEN 1.0 ELSE gamma_q(h.df / 2, h.x / 2) END})[1] END)[1]`,
		"chi-square of current counts against the reference's, scaled, as Evidently's: {statistic, df, p}. Of a category that the reference lacks nothing is expected: statistic is then NULL (infinite) and p 0; see chi2_pooled"},
	{"chi2_pooled", "ref_counts, cur_counts", `list_transform([count_table(ref_counts, cur_counts)], lambda v: CASE WHEN v.n > 0 AND v.m > 0 THEN
		list_transform([{df: len(v.pairs) - 1, x: list_sum(list_transform(v.pairs, lambda w: pow(w.r * (v.m / v.n) - w.c, 2) * (v.n / v.m) / (w.r + w.c)))}], lambda h:
			{statistic: h.x, df: h.df, p: CASE WHEN h.df = 0 THEN 1.0 ELSE gamma_q(h.df / 2, h.x / 2) END})[1] END)[1]`,
		"chi-square test of homogeneity of both windows' counts, without correction: {statistic, df, p}"},

	// p of Kolmogorov's and Smirnov's tests. Equal sizes: Gnedenko and
	// Korolyuk's sum. Others: the share of lattice paths that leave the band
	// around the diagonal, one counter-diagonal after the other; the state is
	// that share among the paths to each point inside, 1 outside.
	{"ks_square", "n, h", `list_transform([{n: CAST(n AS BIGINT), h: CAST(h AS BIGINT)}], lambda v: least(1.0, 2 * list_reduce(list_transform(range(v.n // v.h, -1, -1), lambda k:
		list_aggregate(list_transform(range(v.h), lambda j: (v.n - k * v.h - j) / (v.n + k * v.h + j + 1)), 'product')), lambda p, q: (1 - p) * q, CAST(0 AS DOUBLE))))[1]`,
		"exact p of two samples of n values each whose distribution functions differ by h / n, h above 0"},
	{"ks_lattice", "n1, n2, gap", `list_transform([{n1: CAST(n1 AS DOUBLE), n: CAST(n1 AS DOUBLE) + n2, gap: CAST(gap AS DOUBLE)}], lambda v: list_reduce(
		-- of each step t: t, the first point less 1, whether it moved, the last point that is outside below, the first above
		list_transform(list_transform(range(1, CAST(v.n AS BIGINT) + 1), lambda t: {t: t, f: floor((t * v.n1 - v.gap) / v.n)}), lambda s: [s.t, s.f - 1,
			s.f - floor(((s.t - 1) * v.n1 - v.gap) / v.n), greatest(1, -s.f), least(s.t - s.f + 2, ceil((s.t * v.n1 + v.gap) / v.n) - s.f + 1)]),
		lambda p, e: CASE WHEN e[3] = 0
			THEN list_transform(p, lambda x, k: CASE WHEN k <= e[4] OR k >= e[5] THEN CAST(1 AS DOUBLE) ELSE (p[k - 1] * (k + e[2]) + x * (e[1] - k - e[2])) / e[1] END)
			ELSE list_transform(p, lambda x, k: CASE WHEN k <= e[4] OR k >= e[5] THEN CAST(1 AS DOUBLE) ELSE (x * (k + e[2]) + p[k + 1] * (e[1] - k - e[2])) / e[1] END) END,
		list_transform(range(CAST(ceil(2 * v.gap / v.n) AS BIGINT) + 2), lambda i: CAST(0 AS DOUBLE)))[CAST(v.n1 - floor(v.n1 - v.gap / v.n) AS BIGINT) + 1])[1]`,
		"exact p of two samples of n1 and n2 values whose distribution functions differ by gap / (n1 * n2), gap above 0"},
	// Birnbaum and Tingey's sum.
	{"smirnov_p", "n, d", `list_transform([{n: CAST(n AS DOUBLE), d: CAST(d AS DOUBLE)}], lambda v: CASE
		WHEN v.n > 1e6 THEN exp(-pow(6 * v.n * v.d + 1, 2) / 18 / v.n)
		ELSE list_sum(list_transform(range(CAST(floor(v.n * (1 - v.d)) AS BIGINT) + 1), lambda j: CASE
			WHEN j >= 100 AND v.n - j >= 100 AND v.n - j > v.n * v.d THEN v.d / (v.d + j / v.n) * sqrt(v.n / (2 * pi() * j * (v.n - j)))
				* exp(j * ln((j + v.n * v.d) / j) + (v.n - j) * ln((v.n - j - v.n * v.d) / (v.n - j))
					- (1 / 12 - 1 / (360 * j * j)) / j - (1 / 12 - 1 / (360 * (v.n - j) * (v.n - j))) / (v.n - j) + (1 / 12 - 1 / (360 * v.n * v.n)) / v.n)
			WHEN j = 0 THEN exp(v.n * ln_1p(-v.d))
			WHEN v.n - j <= v.n * v.d THEN 0.0
			ELSE v.d / (v.d + j / v.n) * sqrt(v.n / (2 * pi() * j * (v.n - j))) * exp(stirling_error(v.n) - stirling_error(j) - stirling_error(v.n - j)
				+ j * ln_1p(v.n * v.d / j) + (v.n - j) * ln_1p(-v.n * v.d / (v.n - j))) END)) END)[1]`,
		"probability that a sample's distribution function rises by d, of 0 < d < 1, above the true one (one-sided); beyond a million values by SciPy's approximation"},
	// Marsaglia, Tsang and Wang's matrix (2003), one row of its power only: a
	// state is that row, of 2 k - 1 numbers, and behind it the columns of the matrix.
	{"kolmogorov_matrix", "n, d", `list_transform([{n: CAST(n AS DOUBLE), k: CAST(ceil(n * d) AS BIGINT), h: ceil(n * d) - n * d, s: exp(lgamma(n + 1) / n - ln(n))}], lambda v: list_reduce(
		list_transform(range(CAST(v.n AS BIGINT)), lambda i: [CAST(2 * v.k - 1 AS DOUBLE)]),
		lambda row, m: list_concat(list_transform(range(m[1]::BIGINT), lambda j: list_inner_product(row[:m[1]::BIGINT], row[(j + 1) * m[1]::BIGINT + 1:(j + 2) * m[1]::BIGINT])), row[m[1]::BIGINT + 1:]),
		list_concat(list_transform(range(2 * v.k - 1), lambda i: CASE WHEN i = v.k - 1 THEN CAST(1 AS DOUBLE) ELSE CAST(0 AS DOUBLE) END),
			flatten(list_transform(range(2 * v.k - 1), lambda j: list_transform(range(2 * v.k - 1), lambda i:
				(CASE WHEN i - j + 1 < 0 THEN 0.0 ELSE 1.0 END - CASE WHEN j = 0 THEN pow(v.h, i + 1) ELSE 0.0 END - CASE WHEN i = 2 * v.k - 2 THEN pow(v.h, 2 * v.k - 1 - j) ELSE 0.0 END
					+ CASE WHEN j = 0 AND i = 2 * v.k - 2 THEN pow(greatest(0.0, 2 * v.h - 1), 2 * v.k - 1) ELSE 0.0 END)
				* v.s / exp(lgamma(greatest(i - j + 1, 0) + 1)))))))[v.k])[1]`,
		"probability that a sample's distribution function is nowhere d off the true one, of n * d above 0.5; quick for n * d up to 30"},
	{"pelz_good", "n, d", `list_transform([{n: CAST(n AS DOUBLE), z: sqrt(n) * d}], lambda v: CASE WHEN v.z < 0.0418 THEN 0.0 ELSE
		list_transform([{q: list_transform(range(CAST(ceil(16 * v.z / pi()) AS BIGINT), 0, -1), lambda k: {m2: pow(pi() * (2 * k - 1) / 2, 2), k2: pow(pi() * k, 2)}),
			z2: v.z * v.z}], lambda w: sqrt(2 * pi()) * list_sum(list_transform(w.q, lambda t:
			exp(-t.m2 / 2 / w.z2) * (1 / v.z
				+ (t.m2 - w.z2) / (6 * pow(v.z, 4) * sqrt(v.n))
				+ (6 * pow(v.z, 6) + 2 * pow(v.z, 4) + (2 * pow(v.z, 4) - 5 * w.z2) * t.m2 + (1 - 2 * w.z2) * pow(t.m2, 2)) / (72 * pow(v.z, 7) * v.n)
				+ (-30 * pow(v.z, 6) - 90 * pow(v.z, 8) + (135 * pow(v.z, 4) - 96 * pow(v.z, 6)) * t.m2 + (212 * pow(v.z, 4) - 60 * w.z2) * pow(t.m2, 2)
					+ (5 - 30 * w.z2) * pow(t.m2, 3)) / (6480 * pow(v.z, 10) * pow(v.n, 1.5)))
			+ exp(-t.k2 / 2 / w.z2) * (-t.k2 / (36 * pow(v.z, 3) * v.n) + (3 * w.z2 - t.k2) * t.k2 / (216 * pow(v.z, 6) * pow(v.n, 1.5))))))[1] END)[1]`,
		"Pelz and Good's approximation (1976) of the probability that a sample's distribution function is nowhere d off the true one"},
	{"kolmogorov_p", "n, d", `list_transform([{n: CAST(n AS DOUBLE), d: CAST(d AS DOUBLE)}], lambda k: CASE
		WHEN k.n IS NULL OR k.d IS NULL OR isnan(k.d) OR NOT (k.n >= 1 AND k.n < 1e15) THEN NULL
		WHEN k.d >= 1 THEN 0.0
		WHEN k.n * k.d <= 0.5 THEN 1.0
		WHEN k.n * k.d <= 1 THEN 1 - exp(lgamma(k.n + 1) + k.n * (ln(2 * k.n * k.d - 1) - ln(k.n)))
		WHEN k.n * k.d >= k.n - 1 THEN least(1.0, 2 * exp(k.n * ln_1p(-k.d)))
		WHEN k.n * k.d * k.d >= 370 THEN 0.0
		WHEN k.d >= 0.5 OR k.n * k.d * k.d > 4 OR k.n > 140 AND k.n * k.d * k.d >= 2.2 THEN least(1.0, 2 * smirnov_p(k.n, k.d))
		WHEN k.n <= 140 OR k.n <= 5000 AND k.n * pow(k.d, 1.5) <= 1.4 THEN greatest(0.0, 1 - kolmogorov_matrix(k.n, k.d))
		ELSE least(1.0, greatest(0.0, 1 - pelz_good(k.n, k.d))) END)[1]`,
		"probability that the distribution function of a sample of n values is somewhere at least d off the true one, as scipy.stats.kstwo.sf"},
	{"ks_p", "d, n1, n2", `list_transform([{d: CAST(d AS DOUBLE), n1: CAST(n1 AS DOUBLE), n2: CAST(n2 AS DOUBLE)}], lambda s: CASE
		WHEN s.d IS NULL OR isnan(s.d) OR s.n1 IS NULL OR s.n2 IS NULL OR NOT (s.n1 >= 1 AND s.n2 >= 1) OR s.d > 1.000001 THEN NULL
		WHEN greatest(s.n1, s.n2) > 10000 THEN kolmogorov_p(round_even(s.n1 * s.n2 / (s.n1 + s.n2), 0), s.d)
		WHEN round(s.d * s.n1 * s.n2) <= 0 THEN 1.0
		WHEN s.d * s.d * s.n1 * s.n2 / (s.n1 + s.n2) > 400 THEN 0.0
		WHEN s.n1 = s.n2 THEN ks_square(s.n1, round(s.d * s.n1))
		ELSE least(1.0, ks_lattice(s.n1, s.n2, round(s.d * s.n1 * s.n2))) END)[1]`,
		"p of a two-sample Kolmogorov-Smirnov statistic d, two-sided, as scipy.stats.ks_2samp's: exact where neither has more than 10,000 values (up to a second for 1,000 and 10,000 of them, several for 10,000 and 9,999; at once for equal numbers), by the one-sample distribution beyond"},

	// Lists of values. NULL, NaN and infinite values are left out.
	{"finite_values", "vals", `list_filter(CAST(vals AS DOUBLE[]), lambda x: isfinite(x))`, "the values that are numbers"},
	// Of the sorted values of both lists: where those of each list stand.
	{"merged", "a, b", `list_transform([{a: finite_values(a), b: finite_values(b)}], lambda v: CASE WHEN len(v.a) > 0 AND len(v.b) > 0 THEN
		list_transform([{n1: len(v.a), n2: len(v.b), s: list_sort(list_concat(v.a, v.b)), g: list_grade_up(list_concat(v.a, v.b))}], lambda h:
			{n1: h.n1, n2: h.n2, s: h.s, ka: list_filter(range(1, h.n1 + h.n2 + 1), lambda k: h.g[k] <= h.n1), kb: list_filter(range(1, h.n1 + h.n2 + 1), lambda k: h.g[k] > h.n1)})[1] END)[1]`,
		"values of both lists in order as s, their numbers n1 and n2, and where in s those of each list stand, ka and kb"},
	{"ks_statistic", "a, b", `list_transform([merged(a, b)], lambda v: CAST(list_max(list_concat(
		list_transform(v.ka, lambda k, i: CASE WHEN v.s[k] = v.s[k + 1] THEN 0 ELSE abs(i * v.n2 - (k - i) * v.n1) END),
		list_transform(v.kb, lambda k, i: CASE WHEN v.s[k] = v.s[k + 1] THEN 0 ELSE abs(i * v.n1 - (k - i) * v.n2) END))) AS DOUBLE) / (v.n1 * v.n2))[1]`,
		"greatest difference of the two lists' distribution functions"},
	{"wasserstein", "a, b", `list_transform([merged(a, b)], lambda v: list_sum(list_concat(
		list_transform(v.ka, lambda k, i: abs(i / v.n1 - (k - i) / v.n2) * coalesce(v.s[k + 1] - v.s[k], 0)),
		list_transform(v.kb, lambda k, i: abs(i / v.n2 - (k - i) / v.n1) * coalesce(v.s[k + 1] - v.s[k], 0)))))[1]`,
		"first Wasserstein (earth mover's) distance of two lists of values"},
	{"ks_2samp", "a, b", `list_transform([{d: ks_statistic(a, b), n1: len(finite_values(a)), n2: len(finite_values(b))}], lambda v:
		CASE WHEN v.d IS NOT NULL THEN {statistic: v.d, p: ks_p(v.d, v.n1, v.n2)} END)[1]`,
		"Kolmogorov-Smirnov test of two lists of values, two-sided: {statistic, p}; p as ks_p says"},

	// Evidently's bins. numpy's edges, in its steps of rounding.
	{"sturges_edges", "vals, whole", `list_transform([{lo: list_min(vals), hi: list_max(vals), w: (list_max(vals) - list_min(vals)) / (log2(len(vals)) + 1), whole: whole}], lambda v:
		list_transform([CAST(ceil((v.hi - v.lo) / CASE WHEN v.whole AND v.w < 1 THEN 1 ELSE v.w END) AS BIGINT)], lambda n:
			list_transform(range(n + 1), lambda k: CASE WHEN k = n THEN v.hi ELSE k * ((v.hi - v.lo) / n) + v.lo END))[1])[1]`,
		"edges of Sturges' bins, as numpy.histogram_bin_edges has them; vals differ, and whole says that they are integers"},
	{"counts_below", "vals, edges", `list_transform([{x: vals, e: edges}], lambda v: list_transform(v.e, lambda e, k:
		CASE WHEN k = 1 THEN 0 WHEN k = len(v.e) THEN len(v.x) ELSE len(list_filter(v.x, lambda x: x < e)) END))[1]`,
		"how many values lie below each edge, all below the last"},
	{"bin_counts", "vals, edges", `list_transform([counts_below(vals, edges)], lambda n: list_transform(range(1, len(n)), lambda k: n[k + 1] - n[k]))[1]`, "how many values lie in each bin"},
	{"binned", "ref, cur", `list_transform([{r: finite_values(ref), c: finite_values(cur), whole: regexp_matches(typeof(ref) || typeof(cur), '^[A-Z]*INT[A-Z]*\[\][A-Z]*INT[A-Z]*\[\]$')}], lambda v: CASE
		WHEN len(v.r) = 0 OR len(v.c) = 0 OR v.r IS NULL OR v.c IS NULL THEN NULL
		WHEN len(list_distinct(v.r)) > 20 THEN list_transform([sturges_edges(list_concat(v.r, v.c), v.whole)], lambda e: {ref: bin_counts(v.r, e), cur: bin_counts(v.c, e)})[1]
		ELSE list_transform([{h: list_aggregate(v.r, 'histogram'), g: list_aggregate(v.c, 'histogram')}], lambda w:
			list_transform([map_values(map_from_entries(list_filter(map_entries(w.g), lambda x: NOT list_contains(map_keys(w.h), x.key))))], lambda new: {
				ref: list_concat(CAST(map_values(w.h) AS BIGINT[]), list_transform(new, lambda x: CAST(0 AS BIGINT))),
				cur: list_concat(list_transform(map_keys(w.h), lambda x: CAST(coalesce(w.g[x], 0) AS BIGINT)), CAST(new AS BIGINT[]))})[1])[1] END)[1]`,
		"values of two windows counted in Evidently's bins, {ref, cur}: Sturges' over both together where ref has more than 20 different values, else one for each value"},
	{"psi_numeric", "ref, cur", `list_transform([binned(ref, cur)], lambda b: psi(b.ref, b.cur))[1]`, "population stability index of two lists of values, in Evidently's bins"},
	{"js_numeric", "ref, cur", `list_transform([binned(ref, cur)], lambda b: js_distance(b.ref, b.cur))[1]`, "Jensen-Shannon distance of two lists of values, in Evidently's bins"},

	// Moments and counts.
	{"welch_t", "mean1, var1, n1, mean2, var2, n2", `list_transform([{d: CAST(mean1 AS DOUBLE) - mean2, a: CAST(var1 AS DOUBLE) / nullif(n1, 0), b: CAST(var2 AS DOUBLE) / nullif(n2, 0),
		n1: CAST(n1 AS DOUBLE), n2: CAST(n2 AS DOUBLE)}], lambda v: CASE WHEN isfinite(v.d) AND v.a >= 0 AND v.b >= 0 AND isfinite(v.a + v.b) AND v.n1 >= 2 AND v.n2 >= 2 THEN
		CASE WHEN v.a + v.b = 0 THEN {t: CASE WHEN v.d = 0 THEN 0.0::DOUBLE END, df: NULL::DOUBLE, p: CASE WHEN v.d = 0 THEN 1.0 ELSE 0.0 END::DOUBLE, lo: v.d, hi: v.d}
		ELSE list_transform([{s: sqrt(v.a + v.b), df: 1 / (pow(v.a / (v.a + v.b), 2) / (v.n1 - 1) + pow(v.b / (v.a + v.b), 2) / (v.n2 - 1))}], lambda w:
			list_transform([student_t_95(w.df)], lambda q: {t: v.d / w.s, df: w.df, p: student_t_p(v.d / w.s, w.df), lo: v.d - q * w.s, hi: v.d + q * w.s})[1])[1] END END)[1]`,
		"Welch's t-test of two means, from sample means, sample variances and sizes: {t, df, p, lo, hi}, two-sided, lo and hi being the 95 % confidence interval of mean1 - mean2; NULL for fewer than two values. Without variance t is 0 or NULL (infinite), p 1 or 0"},
	{"two_proportion_z", "x1, n1, x2, n2", `list_transform([{p1: CAST(x1 AS DOUBLE) / nullif(n1, 0), p2: CAST(x2 AS DOUBLE) / nullif(n2, 0), p: (CAST(x1 AS DOUBLE) + x2) / nullif(CAST(n1 AS DOUBLE) + n2, 0),
		w: 1 / CAST(nullif(n1, 0) AS DOUBLE) + 1 / CAST(nullif(n2, 0) AS DOUBLE)}], lambda v: CASE WHEN v.p1 >= 0 AND v.p1 <= 1 AND v.p2 >= 0 AND v.p2 <= 1 AND v.w > 0 THEN
		list_transform([CASE WHEN v.p > 0 AND v.p < 1 THEN (v.p1 - v.p2) / sqrt(v.p * (1 - v.p) * v.w) ELSE 0.0 END], lambda z: {z: z, p: normal_p(z)})[1] END)[1]`,
		"z-test of two proportions x1 / n1 and x2 / n2 with the pooled variance: {z, p}, two-sided; z is 0 where both are 0 or both 1"},
	{"pass_at_k", "n, c, k", `list_transform([{n: CAST(n AS BIGINT), c: CAST(c AS BIGINT), k: CAST(k AS BIGINT)}], lambda v: CASE WHEN v.c >= 0 AND v.c <= v.n AND v.k >= 1 AND v.k <= v.n THEN
		list_reduce(list_transform(range(least(v.c, v.k) - 1, -1, -1), lambda i: least(1.0, greatest(v.c, v.k) / (v.n - i))), lambda t, q: q + (1 - q) * t, CAST(0 AS DOUBLE)) END)[1]`,
		"pass@k: probability that at least one of k trials, drawn from n of which c succeeded, succeeds: 1 - C(n - c, k) / C(n, k); NULL for k above n"},
	{"pass_hat_k", "n, c, k", `list_transform([{n: CAST(n AS BIGINT), c: CAST(c AS BIGINT), k: CAST(k AS BIGINT)}], lambda v: CASE WHEN v.c >= 0 AND v.c <= v.n AND v.k >= 1 AND v.k <= v.n THEN
		CASE WHEN v.k > v.c THEN 0.0 ELSE list_aggregate(list_transform(range(v.k), lambda i: (v.c - i) / (v.n - i)), 'product') END END)[1]`,
		"pass^k: probability that all of k trials, drawn from n of which c succeeded, succeed: C(c, k) / C(n, k); NULL for k above n"},
}
