package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditlake/auditlake/cmd/auditlake/internal/feed"
)

func newDevBroker(a *app) *cobra.Command {
	var (
		dir    string
		port   int
		topics []string
	)
	cmd := &cobra.Command{
		Use:   "dev-broker",
		Short: "Run a Kafka-protocol broker in this process, to try things without Kafka",
		Long: `Runs one broker on 127.0.0.1 until it is stopped (Ctrl-C). Its data stays in --dir. It is no replacement for
Kafka: one node, no authentication.`,
		Example: "  auditlake dev-broker\n  auditlake dev-broker --dir ./broker --port 9092 --topic agent-events:3",
		Args:    takes(0, 0, ""),
	}
	cmd.Flags().StringVar(&dir, "dir", "auditlake-broker", "`FOLDER` of its data")
	cmd.Flags().IntVar(&port, "port", 9092, "port on 127.0.0.1; 0 takes any that is free")
	cmd.Flags().StringArrayVar(&topics, "topic", []string{"agent-events:3"}, "topic to make where it is not there, `NAME[:PARTITIONS]`; may be repeated")
	mustNot(cmd.MarkFlagDirname("dir"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		want, err := parseTopics(topics)
		if err != nil {
			return err
		}
		if port < 0 || port > 65535 {
			return usagef("--port %d is none: give 1 to 65535, or 0 for any that is free", port)
		}
		broker, err := feed.StartBroker(feed.BrokerOptions{Dir: dir, Port: port, Topics: want})
		if err != nil {
			return err
		}
		names := make([]string, 0, len(want))
		for name, n := range want {
			names = append(names, fmt.Sprintf("%s (%d)", name, n))
		}
		slices.Sort(names)
		if err := a.say("broker on %s, data in %s, topics (partitions): %s", broker.Addr(), dir, strings.Join(names, ", ")); err != nil {
			return err
		}
		a.note("Ctrl-C stops it")
		<-cmd.Context().Done()
		return broker.Close() // being stopped is how it ends well
	}
	return cmd
}

func parseTopics(specs []string) (map[string]int32, error) {
	out := map[string]int32{}
	for _, spec := range specs {
		name, count, given := strings.Cut(spec, ":")
		n := int64(1)
		if given {
			var err error
			if n, err = strconv.ParseInt(count, 10, 32); err != nil || n < 1 {
				return nil, usagef("--topic %q is no topic: write NAME or NAME:PARTITIONS", spec)
			}
		}
		if name == "" {
			return nil, usagef("--topic %q has no name: write NAME or NAME:PARTITIONS", spec)
		}
		out[name] = int32(n)
	}
	return out, nil
}
