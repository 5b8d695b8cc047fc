package nearest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWord(t *testing.T) {
	words := []string{"brokers", "topics", "group", "tls", "latency_ms"}
	for word, want := range map[string]string{
		"topcis": "topics", "tsl": "tls", "form": "", "fi": "", "goup": "group", "warehouse": "", "lat": "latency_ms", "la": "", "grup": "group", "": "", "tls": "tls",
	} {
		require.Equal(t, want, Word(word, words), word)
	}
}
