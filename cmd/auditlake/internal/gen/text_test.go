package gen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	say := func(source string, k keys) string { return string(words(source).append(nil, &k)) }
	require.Equal(t, `a \"b\" & <`, say(`a "b" & `, keys{})+"<")
	require.Equal(t, `f(x, (y))`, say(`f\(x, \(y\)\)`, keys{}))

	const source = "<order> <order2> <~order> <first> (a|b|<n> (c|d))"
	first := say(source, keys{1, 2, 3})
	require.Equal(t, first, say(source, keys{1, 2, 3}))
	require.NotEqual(t, first, say(source, keys{1, 2, 4}))
	require.NotEqual(t, say("<order>", keys{1, 2, 3}), say("<order2>", keys{1, 2, 3}))
	require.Equal(t, say("<order><n>", keys{1, 2, 3}), say("<order><n>", keys{1, 2, 4}), "it stays all through a session")
	require.NotEqual(t, say("<~order>", keys{1, 2, 3}), say("<~order>", keys{1, 2, 4}))
	require.NotEqual(t, say("<email>", keys{1, 2, 3}), say("<email>", keys{2, 2, 3}))

	seen := map[string]bool{}
	for key := range uint64(100) {
		seen[say("(a|b|)", same(key))] = true
	}
	require.Equal(t, map[string]bool{"a": true, "b": true, "": true}, seen)
	require.Equal(t, `{"a\n":"1"}`, string(raw(`{"a\n":"1"}`).append(nil, &keys{})), "JSON is left as it is")
}

func TestTextRefused(t *testing.T) {
	for _, source := range []string{"<nonsense>", "<order", "(a|b", "a|b", "a)", "(a|<x>)", "(", "(a|(b)"} {
		require.Panics(t, func() { words(source) }, source)
	}
}

func TestDice(t *testing.T) {
	var d dice
	d.Seed(1, 2)
	seen, picked := map[int]int{}, map[int]int{}
	var low, high int64 = 1 << 40, 0
	for range 10_000 {
		seen[d.between(3, 6)]++
		picked[d.pick([]int{70, 0, 30})]++
		ms := d.around(1000)
		low, high = min(low, ms), max(high, ms)
		require.True(t, d.hit(1))
		require.False(t, d.hit(0))
	}
	require.Len(t, seen, 4)
	require.Len(t, picked, 2)
	require.InDelta(t, 7000, picked[0], 300)
	require.Less(t, low, int64(300))
	require.Greater(t, high, int64(3000))
	require.EqualValues(t, 1, d.around(0))
}

func TestMoney(t *testing.T) {
	for n, want := range map[int64]string{0: "0.000000000", 1: "0.000000001", 1_500_000_000: "1.500000000", 12_345_678_901: "12.345678901"} {
		require.Equal(t, want, string(appendMoney(nil, n)))
	}
}
