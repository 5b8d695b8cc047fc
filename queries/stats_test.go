package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// statCase is a line of testdata/stats/vectors.json: what the macro gives of
// the arguments by its reference implementation, a number or a struct of them.
type statCase struct {
	Macro string `json:"macro"`
	Args  []any  `json:"args"`
	Want  any    `json:"want"`
	By    string `json:"by"`
}

func TestStatisticsAgreeWithTheirReferences(t *testing.T) {
	var file struct {
		Cases []statCase `json:"cases"`
	}
	decode(t, readFile(t, "../testdata/stats/vectors.json"), &file)
	ask := askMacros(t)
	// Many rows at once, as SQL calls them: a row must not read another's values.
	groups := map[string][]statCase{}
	seen := map[string]int{}
	for _, c := range file.Cases {
		kinds := make([]string, len(c.Args))
		for j, a := range c.Args {
			kinds[j] = fmt.Sprint(strings.HasPrefix(sqlNumber(a), "["), strings.Contains(sqlNumber(a), "e"))
		}
		key := c.Macro + strings.Join(kinds, "")
		groups[key] = append(groups[key], c)
		seen[c.Macro]++
	}
	for _, cases := range groups {
		names := make([]string, len(cases[0].Args))
		for j := range names {
			names[j] = fmt.Sprintf("a%d", j)
		}
		rows := make([]string, len(cases))
		for i, c := range cases {
			args := []string{strconv.Itoa(i)}
			for _, a := range c.Args {
				args = append(args, sqlNumber(a))
			}
			rows[i] = "(" + strings.Join(args, ", ") + ")"
		}
		all := strings.Join(names, ", ")
		var got []any
		decode(t, ask(fmt.Sprintf("(SELECT to_json(list(%s(%s) ORDER BY i)) FROM (VALUES %s) AS t(i, %s))", cases[0].Macro, all, strings.Join(rows, ", "), all)), &got)
		require.Len(t, got, len(cases))
		for i, c := range cases {
			want, isStruct := c.Want.(map[string]any)
			if !isStruct {
				requireClose(t, c, c.Want, got[i])
				continue
			}
			require.IsType(t, want, got[i], "%v", c)
			for field, w := range want {
				requireClose(t, c, w, got[i].(map[string]any)[field])
			}
		}
	}
	for _, name := range []string{
		"gamma_q", "beta_i", "normal_cdf", "normal_p", "student_t_p", "student_t_95", "psi", "psi_numeric", "js_distance", "js_numeric", "chi2", "chi2_pooled",
		"ks_2samp", "ks_p", "kolmogorov_p", "wasserstein", "welch_t", "two_proportion_z", "pass_at_k", "pass_hat_k",
	} {
		require.GreaterOrEqual(t, seen[name], 8, name)
	}
}

// askMacros evaluates an expression, as text, in a DuckDB that has the macros.
func askMacros(t *testing.T) func(expr string) string {
	ctx := context.Background()
	e, err := openEngine(ctx, 2, 1<<30, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.close()) })
	for _, m := range macros {
		require.NoError(t, e.exec(ctx, fmt.Sprintf("CREATE MACRO %s(%s) AS %s", m.name, m.params, m.sql)), m.name)
	}
	return func(expr string) (text string) {
		require.NoError(t, e.conn.QueryRowContext(ctx, "SELECT coalesce(CAST("+expr+" AS VARCHAR), 'NULL')").Scan(&text), expr)
		return text
	}
}

// requireClose allows 1e-9 of the number, whatever its size; where the
// reference says 0, 1e-12.
func requireClose(t *testing.T, c statCase, want, have any) {
	w, ok := want.(json.Number)
	require.True(t, ok, "%v", c)
	h, ok := have.(json.Number)
	require.True(t, ok, "%s%v gives %v; want %s", c.Macro, c.Args, have, w)
	a, err := w.Float64()
	require.NoError(t, err)
	b, err := h.Float64()
	require.NoError(t, err)
	if a == 0 {
		require.LessOrEqual(t, math.Abs(b), 1e-12, "%s%v; want 0 by %s", c.Macro, c.Args, c.By)
		return
	}
	require.LessOrEqual(t, math.Abs(a-b), 1e-9*math.Abs(a), "%s%v: %s; want %s by %s", c.Macro, c.Args, h, w, c.By)
}

// sqlNumber writes a number, or a list of them, as SQL that says whether it is whole.
func sqlNumber(v any) string {
	switch v := v.(type) {
	case []any:
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = sqlNumber(x)
		}
		return "[" + strings.Join(out, ", ") + "]"
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v.String()
		}
		f, err := v.Float64()
		if err != nil {
			panic(err)
		}
		return strconv.FormatFloat(f, 'e', -1, 64) // without an exponent it would be a decimal
	}
	panic(fmt.Sprintf("%T is no argument", v))
}

// What has no number is NULL or the limit; nothing is an error or NaN.
func TestStatisticsOfWhatHasNone(t *testing.T) {
	ask := askMacros(t)
	const none = "NULL"
	for call, want := range map[string]string{
		"gamma_q(NULL, 1)": none, "gamma_q(0, 1)": none, "gamma_q(1, -1)": none, "gamma_q(1, 'nan'::DOUBLE)": none, "gamma_q(1, 'inf'::DOUBLE)": "0.0", "gamma_q(1e9, 1)": none,
		"beta_i(1, 1, -0.1)": none, "beta_i(1, 1, 0)": "0.0", "beta_i(1, 1, 1)": "1.0", "beta_i(NULL, 1, 1)": none, "beta_i('nan'::DOUBLE, 1, 0.5)": none, "beta_i(1, 1, 'nan'::DOUBLE)": none,
		"normal_cdf(NULL)": none, "normal_cdf('inf'::DOUBLE)": "1.0", "normal_cdf('-inf'::DOUBLE)": "0.0", "normal_cdf('nan'::DOUBLE)": none,
		"student_t_p(1, 0)": none, "student_t_p(NULL, 1)": none, "student_t_p('inf'::DOUBLE, 3)": "0.0", "student_t_p(1e200, 3)": "0.0", "student_t_p(0, 3)": "1.0", "student_t_95(0)": none, "student_t_95(NULL)": none,
		"psi([], [])": none, "psi(NULL, [1])": none, "psi([1], [])": none, "psi([0, 0], [1, 2])": none, "psi([5], [9])": "0.0", "psi([NULL, 3], [NULL, 8])": "0.0", "psi([1, 1], [1])": "psi([1, 1], [1, 0])",
		"psi([1000000000000000000, 1000000000000000000], [9, 9])": "0.0", "psi([-5, 3], [0, 4])": "0.0",
		"js_distance([], [])": none, "js_distance([3], [4])": "0.0", "js_distance([1, 0], [0, 1])": "sqrt(ln(2))", "js_distance([1, 2], [100, 200])": "0.0",
		"chi2([], [])": none, "chi2([3], [9])": "{'statistic': 0.0, 'df': 0, 'p': 1.0}", "chi2([3, 0], [9, 1])": "{'statistic': NULL, 'df': 1, 'p': 0.0}", "chi2([0, 0], [9, 1])": none,
		"chi2([3, 6, 0], [9, 18, 0])": "{'statistic': 0.0, 'df': 1, 'p': 1.0}", "chi2_pooled([3], [9])": "{'statistic': 0.0, 'df': 0, 'p': 1.0}", "chi2_pooled([], [9])": none,
		"ks_2samp([], [1])": none, "ks_2samp(NULL, [1])": none, "ks_2samp([NULL, 'nan'::DOUBLE], [1])": none, "ks_2samp([1], [1])": "{'statistic': 0.0, 'p': 1.0}", "ks_2samp([1], [2])": "{'statistic': 1.0, 'p': 1.0}",
		"ks_2samp([7, 7, 7], [7, 7])": "{'statistic': 0.0, 'p': 1.0}", "ks_2samp([1, NULL, 2, 'inf'::DOUBLE], [1, 2])": "{'statistic': 0.0, 'p': 1.0}",
		"ks_p(NULL, 1, 1)": none, "ks_p(0.5, 0, 1)": none, "ks_p(2, 3, 3)": none, "ks_p(0, 3, 3)": "1.0", "ks_p(1, 20000, 20000)": "0.0", "ks_p(0, 20000, 20000)": "1.0", "kolmogorov_p(0, 0.5)": none, "kolmogorov_p(5, NULL)": none,
		"wasserstein([], [1])": none, "wasserstein([3], [3])": "0.0", "wasserstein([3], [5.5])": "2.5", "wasserstein([NULL, 3], [5])": "2.0",
		"psi_numeric([], [1])": none, "psi_numeric([1], NULL)": none, "psi_numeric([1, 1], [1])": "0.0", "js_numeric([1], [])": none, "js_numeric([1, 1], [1])": "0.0", "psi_numeric([1], [2])": "psi([1, 0], [0, 1])",
		"welch_t(1, NULL, 1, 2, 1, 9)": none, "welch_t(1, 0, 0, 2, 1, 9)": none, "welch_t(1, 1, 1, 2, 1, 9)": none, "welch_t(1, 0, 5, 1, 0, 5)": "{'t': 0.0, 'df': NULL, 'p': 1.0, 'lo': 0.0, 'hi': 0.0}",
		"welch_t(2, 0, 5, 1, 0, 5)": "{'t': NULL, 'df': NULL, 'p': 0.0, 'lo': 1.0, 'hi': 1.0}", "welch_t(1, 'inf'::DOUBLE, 5, 1, 0, 5)": none, "welch_t(1, -1, 5, 1, 0, 5)": none,
		"two_proportion_z(0, 0, 1, 2)": none, "two_proportion_z(0, 5, 0, 5)": "{'z': 0.0, 'p': 1.0}", "two_proportion_z(5, 5, 7, 7)": "{'z': 0.0, 'p': 1.0}", "two_proportion_z(6, 5, 7, 7)": none, "two_proportion_z(NULL, 5, 7, 7)": none,
		"pass_at_k(4, 2, 5)": none, "pass_at_k(4, 5, 1)": none, "pass_at_k(0, 0, 1)": none, "pass_at_k(4, 2, 0)": none, "pass_at_k(NULL, 2, 1)": none, "pass_at_k(4, 0, 2)": "0.0", "pass_at_k(4, 4, 2)": "1.0", "pass_at_k(4, 3, 2)": "1.0",
		"pass_hat_k(4, 2, 5)": none, "pass_hat_k(4, 2, 3)": "0.0", "pass_hat_k(4, 4, 4)": "1.0", "pass_hat_k(1000000000000, 1000000000000, 2)": "1.0", "pass_at_k(1000000000000, 1, 1)": "1e-12",
	} {
		require.Equal(t, ask("to_json("+want+")"), ask("to_json("+call+")"), call)
	}
}

// Macros take aggregates and columns, whatever these are called.
func TestStatisticsInSQLOfOnesOwn(t *testing.T) {
	s := openTest(t, emptyPlans(t), Options{})
	const data = "FROM (SELECT range % 3 AS k, range % 7 AS v, range % 5 AS w, range AS s FROM range(700))"
	for _, sql := range []string{
		"SELECT psi(list(v ORDER BY s), list(w ORDER BY s)) > 0 " + data,
		"SELECT count(*) = 3 AND bool_and(x.statistic < 0.35 AND x.p < 1e-3) FROM (SELECT k, ks_2samp(list(v), list(w)) AS x " + data + " GROUP BY k)",
		"SELECT abs(welch_t(avg(v), var_samp(v), count(v), avg(w), var_samp(w), count(w)).t - 10.7935) < 0.01 " + data,
		"SELECT bool_and(ks_p(x / 10, n, n + 1) BETWEEN 0 AND 1) FROM (SELECT v + 1 AS x, s + 1 AS n " + data + " WHERE s < 40)",
		"SELECT bool_and(two_proportion_z(v, 7, w, 7).p <= 1 AND gamma_q(v + 1, w) <= 1 AND student_t_p(k, s + 1) <= 1) " + data,
		"SELECT list_transform([1, 2, 3], lambda v: pass_at_k(4, v, 2)) = [0.5, pass_at_k(4, 2, 2), 1]",
		"SELECT wasserstein(list(v), list(w)) = wasserstein(list(w ORDER BY s DESC), list(v ORDER BY s DESC)) " + data,
	} {
		require.Equal(t, "true", one(t, s, sql), sql)
	}
}
