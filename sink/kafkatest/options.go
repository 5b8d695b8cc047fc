package kafkatest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	plainListener      = "PLAINTEXT"
	controllerListener = "CONTROLLER"
)

// Options choose how Start serves. The zero value is a broker with the plain
// listener only.
type Options struct {
	// Listeners are further ones; the plain one is always there.
	Listeners []Listener
	// Users are the names and passwords of SASL PLAIN and SCRAM.
	Users map[string]string
	// ACLs has only what Allow allows succeed. Who comes through the plain listener
	// may do everything.
	ACLs bool
	// Config are further keys of server.properties.
	Config map[string]string
}

// Listener is one more door to the broker.
type Listener struct {
	// Name is what Broker.Address knows it by: capital letters.
	Name string
	// TLS encrypts, with a certificate of Broker.CA.
	TLS bool
	// Certificate is the server's, for TLS; the zero value is valid for 127.0.0.1
	// and localhost.
	Certificate Certificate
	// ClientCertificates has clients show a certificate of Broker.CA; the user is
	// its common name.
	ClientCertificates bool
	// SASL has clients log in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	SASL bool
}

func (o Options) names() []string {
	var names []string
	for _, l := range o.Listeners {
		names = append(names, l.Name)
	}
	return names
}

func (l Listener) protocol() string {
	switch {
	case l.TLS && l.SASL:
		return "SASL_SSL"
	case l.TLS:
		return "SSL"
	case l.SASL:
		return "SASL_PLAINTEXT"
	}
	return "PLAINTEXT"
}

// properties is the broker's server.properties.
func (b *Broker) properties() (string, error) {
	listeners := []string{plainListener + "://" + b.addresses[plainListener], controllerListener + "://" + b.addresses[controllerListener]}
	protocols := []string{plainListener + ":PLAINTEXT", controllerListener + ":PLAINTEXT"}
	all := map[string]string{
		"process.roles": "broker,controller", "node.id": "1", "log.dirs": b.file("data"),
		"controller.listener.names": controllerListener, "controller.quorum.bootstrap.servers": b.addresses[controllerListener],
		"inter.broker.listener.name": plainListener,
		// One node: without these the first group and the first transaction hang.
		"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		// Quick: a new group does not wait for more members, a dead one is gone soon.
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100",
		"group.consumer.min.session.timeout.ms": "500", "group.consumer.min.heartbeat.interval.ms": "100",
		"auto.create.topics.enable": "false", "log.cleaner.backoff.ms": "200", "log.cleaner.dedupe.buffer.size": "8388608",
		"log.retention.check.interval.ms": "500", "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
		"connection.failed.authentication.delay.ms": "100", "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "200",
	}
	for _, l := range b.opts.Listeners {
		listeners = append(listeners, l.Name+"://"+b.addresses[l.Name])
		protocols = append(protocols, l.Name+":"+l.protocol())
		prefix := "listener.name." + strings.ToLower(l.Name) + "."
		if l.SASL {
			maps.Copy(all, b.sasl(prefix))
		}
		if l.TLS {
			of, err := b.tls(prefix, l)
			if err != nil {
				return "", err
			}
			maps.Copy(all, of)
		}
	}
	all["listeners"], all["listener.security.protocol.map"] = strings.Join(listeners, ","), strings.Join(protocols, ",")
	if b.opts.ACLs {
		all["authorizer.class.name"], all["super.users"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "User:ANONYMOUS"
	}
	maps.Copy(all, b.opts.Config)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s=%s\n", key, all[key])
	}
	return text.String(), nil
}

func (b *Broker) sasl(prefix string) map[string]string {
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, user := range slices.Sorted(maps.Keys(b.opts.Users)) {
		plain += fmt.Sprintf(" user_%s=%q", user, b.opts.Users[user])
	}
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	return map[string]string{
		prefix + "sasl.enabled.mechanisms":                        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		prefix + "plain.sasl.jaas.config":                         plain + ";",
		prefix + "scram-sha-256.sasl.jaas.config":                 scram,
		prefix + "scram-sha-512.sasl.jaas.config":                 scram,
		prefix + "oauthbearer.sasl.jaas.config":                   "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
		prefix + "oauthbearer.connections.max.reauth.ms":          "2000",
		prefix + "oauthbearer.sasl.server.callback.handler.class": "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
		prefix + "sasl.oauthbearer.jwks.endpoint.url":             jwksURL(b.dir),
		prefix + "sasl.oauthbearer.expected.audience":             tokenAudience,
		prefix + "sasl.oauthbearer.expected.issuer":               tokenIssuer,
	}
}

func (b *Broker) tls(prefix string, l Listener) (map[string]string, error) {
	c := l.Certificate
	c.Name = "server-" + strings.ToLower(l.Name)
	issued, err := b.CA.Issue(c)
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		prefix + "ssl.keystore.type": "PEM", prefix + "ssl.keystore.location": issued.Both,
		prefix + "ssl.truststore.type": "PEM", prefix + "ssl.truststore.location": b.CA.File,
		prefix + "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
	}
	if l.ClientCertificates {
		out[prefix+"ssl.client.auth"] = "required"
	}
	return out, nil
}
