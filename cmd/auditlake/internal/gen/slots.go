package gen

import "strconv"

// writer writes one value of a kind. One key always gives one value; values
// need no escape in JSON.
type writer func(dst []byte, key uint64) []byte

// slots are the kinds of values in a text, by name.
var slots = map[string]writer{
	"name": person(true), "first": person(false), "email": email,

	"order": digits("SO-", 7), "invoice": digits("INV-", 6), "ticket": digits("T-", 6), "account": digits("", 8), "card": digits("", 4),
	"tracking": digits("1Z", 14), "branch": digits("fix/issue-", 4), "host": digits("node-", 3), "deploy": digits("rel-", 5),
	"pnr": letters(6), "sku": join(letters(3), digits("-", 4)), "flight": join(oneOf(airlines), digits("", 4)), "hex": hexDigits(12), "commit": hexDigits(8),
	"amount": join(number(10, 1999), digits(".", 2)), "price": join(number(4, 180), digits(".", 2)), "qty": number(1, 4), "n": number(2, 9),
	"pct": number(1, 99), "ms": number(20, 900), "pull": number(100, 9999), "line": number(8, 640), "count": number(3, 4000), "room": number(101, 940),
	"date": date, "clock": clock, "token": token(64),

	"city": oneOf(cities), "product": oneOf(products), "vendor": oneOf(vendors), "month": oneOf(months), "repo": oneOf(repos), "file": oneOf(files),
	"func": oneOf(funcs), "module": oneOf(modules), "hotel": oneOf(hotels), "airport": oneOf(airports), "carrier": oneOf(carriers),
	"reason": oneOf(reasons), "soon": oneOf(soon), "service": oneOf(services),
	"noun": oneOf(nouns), "verb": oneOf(verbs), "adj": oneOf(adjectives),
}

// personal slots belong to the user, who comes back in other sessions.
var personal = map[string]bool{"name": true, "first": true, "email": true}

var (
	firstNames = []string{"Mia", "Zoë", "Łukasz", "José", "Amara", "Noah", "Ingrid", "Yuki", "Priya", "Tomás", "Fatima", "Liam", "Chloé",
		"Søren", "Aisha", "Marco", "Elena", "Kwame", "Hannah", "Ravi", "Nadia", "Oskar", "Leila", "Diego", "Wei", "Astrid", "Omar", "Petra",
		"Hiro", "Selma", "Jonas", "Imani"}
	lastNames = []string{"Okafor", "Lindqvist", "O'Neill", "García", "Nowak", "Tanaka", "Iyer", "Müller", "Haddad", "Rossi", "Dubois", "Mensah",
		"Kowalski", "Silva", "Berg", "Chen", "Novák", "Adeyemi", "Fischer", "Moreau", "Sato", "Kaya", "Olsen", "Petrov", "Costa", "Jansen",
		"Ali", "Weber", "Kim", "Larsen", "Santos", "Ito"}
	// mailNames are lastNames as a mailbox has them.
	mailNames = []string{"okafor", "lindqvist", "oneill", "garcia", "nowak", "tanaka", "iyer", "mueller", "haddad", "rossi", "dubois", "mensah",
		"kowalski", "silva", "berg", "chen", "novak", "adeyemi", "fischer", "moreau", "sato", "kaya", "olsen", "petrov", "costa", "jansen",
		"ali", "weber", "kim", "larsen", "santos", "ito"}
	cities = []string{"Lisbon", "Gdańsk", "Austin", "Osaka", "Zürich", "Nairobi", "Toronto", "Porto Alegre", "Malmö", "Chennai", "Lyon", "Bristol",
		"Denver", "Tallinn", "Valencia", "Accra", "Utrecht", "Perth", "Aarhus", "Boston", "Turin", "Kraków", "Seattle", "Bergen"}
	products = []string{"trail running shoes", "noise-cancelling headphones", "espresso grinder", "standing desk frame", "rain jacket", "4K monitor",
		"cast-iron skillet", "e-reader", "mechanical keyboard", "camping stove", "carry-on suitcase", "air purifier", "bike light set", "wool blanket",
		"action camera", "desk lamp"}
	vendors = []string{"Northwind Paper", "Blue Harbor Logistics", "Keller & Söhne", "Atlas Components", "Fjord Cloud Hosting", "Sunrise Catering",
		"Orbit Telecom", "Vega Consulting", "Hillside Facilities", "Pioneer Freight", "Juniper Office Supply", "Delta Legal LLP"}
	months   = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	repos    = []string{"checkout-api", "ledger-core", "mobile-app", "search-indexer", "auth-gateway", "billing-worker", "data-pipeline", "admin-console"}
	files    = []string{"internal/cart/total.go", "pkg/retry/backoff.go", "src/api/session.ts", "app/models/invoice.py", "cmd/server/main.go", "src/components/DatePicker.tsx", "lib/parse/csv.rs", "services/search/rank.py", "internal/store/migrate.go", "tests/test_refunds.py", "src/auth/token.ts", "worker/queue/consumer.go"}
	funcs    = []string{"ApplyDiscount", "parse_header", "refreshToken", "NextPage", "round_half_even", "mergeConfig", "DecodeBatch", "acquire_lease", "renderRow", "ScheduleRetry", "load_fixture", "closeIdle"}
	modules  = []string{"golang.org/x/net", "requests", "react-router", "serde_json", "sqlalchemy", "zod", "tokio", "lodash", "pytest", "axum"}
	hotels   = []string{"Hotel Miramar", "The Old Mill", "Casa do Rio", "Grand Plaza", "Harbour View Inn", "Pension Edelweiss", "Riad Amina", "Station Suites"}
	airports = []string{"LIS", "GDN", "AUS", "KIX", "ZRH", "NBO", "YYZ", "POA", "MMX", "MAA", "LYS", "BRS", "DEN", "TLL", "VLC", "ACC", "AMS", "PER", "AAR", "BOS", "TRN", "KRK", "SEA", "BGO"}
	airlines = []string{"TP", "LO", "LX", "KQ", "AC", "SK", "AF", "BA", "UA", "NH", "KL", "DY"}
	carriers = []string{"DHL", "UPS", "PostNord", "FedEx", "GLS", "DPD"}
	reasons  = []string{"damaged on arrival", "wrong size", "arrived too late", "changed my mind", "missing part", "charged twice", "not as described", "duplicate order"}
	soon     = []string{"as soon as you can", "before the weekend", "today if possible", "when you have a moment", "by end of month", "please", "it is urgent", "no rush"}
	services = []string{"checkout", "search", "payments", "auth", "catalog", "notifications", "pricing", "inventory", "reporting", "media"}
	// Of what a model thinks.
	nouns = []string{"receipt", "approval", "deadline", "owner", "limit", "history", "amount", "policy", "exception", "reference", "contract", "release", "ticket",
		"address", "duplicate", "timeout", "reply", "balance", "schedule", "warehouse", "signature", "threshold", "customer", "supplier", "manager", "record",
		"document", "version", "message", "account", "region", "currency", "estimate", "backup", "conflict", "evidence", "request", "response", "booking",
		"invoice", "runbook", "dashboard", "discount", "penalty", "guarantee", "shipment", "attachment", "summary", "question", "default", "constraint", "budget"}
	verbs = []string{"check", "compare", "confirm", "avoid", "ask for", "wait for", "open", "close", "trust", "verify", "explain", "reject", "accept", "update",
		"look up", "escalate", "keep", "drop", "repeat", "mention", "quote", "split", "merge", "find", "move", "measure", "assume", "question", "restate", "note",
		"narrow", "finish", "postpone", "prefer", "inspect", "resolve", "replace", "revert", "match", "protect"}
	adjectives = []string{"open", "late", "missing", "stale", "valid", "second", "original", "partial", "recent", "internal", "possible", "unclear", "final",
		"pending", "cheaper", "earlier", "safe", "risky", "known", "odd", "similar", "complete", "signed", "wrong", "exact", "urgent", "older", "manual", "likely",
		"expired", "duplicate", "local", "shared", "visible", "broken", "average", "minor", "critical", "planned", "silent"}
)

func oneOf(list []string) writer {
	return func(dst []byte, key uint64) []byte { return append(dst, list[key%uint64(len(list))]...) }
}

func join(a, b writer) writer {
	return func(dst []byte, key uint64) []byte { return b(a(dst, key), mix(key)) }
}

func number(lo, hi uint64) writer {
	return func(dst []byte, key uint64) []byte { return strconv.AppendUint(dst, lo+key%(hi-lo+1), 10) }
}

func digits(prefix string, n int) writer {
	return func(dst []byte, key uint64) []byte {
		dst = append(dst, prefix...)
		for range n {
			dst = append(dst, byte('0'+key%10))
			key /= 10
		}
		return dst
	}
}

func letters(n int) writer {
	return func(dst []byte, key uint64) []byte {
		for range n {
			dst = append(dst, "ABCDEFGHJKLMNPQRSTUVWXYZ"[key%24])
			key /= 24
		}
		return dst
	}
}

func hexDigits(n int) writer {
	return func(dst []byte, key uint64) []byte { return appendHex(dst, key, n) }
}

// token is n letters of base64, as interfaces hand them out.
func token(n int) writer {
	return func(dst []byte, key uint64) []byte {
		for i := range n {
			if i%10 == 0 {
				key = mix(key)
			}
			dst = append(dst, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[key>>(6*(i%10))&63])
		}
		return dst
	}
}

// appendHex writes the first n of 16 hex digits of key.
func appendHex(dst []byte, key uint64, n int) []byte {
	for i := range n {
		dst = append(dst, "0123456789abcdef"[key>>(60-4*i)&15])
	}
	return dst
}

// appendPadded writes n with zeros before it.
func appendPadded(dst []byte, n uint64, width int) []byte {
	for p := uint64(10); width > 1; p, width = p*10, width-1 {
		if n < p {
			dst = append(dst, '0')
		}
	}
	return strconv.AppendUint(dst, n, 10)
}

func date(dst []byte, key uint64) []byte {
	dst = appendPadded(append(dst, "2026-"...), 1+key%12, 2)
	return appendPadded(append(dst, '-'), 1+key>>8%28, 2)
}

func clock(dst []byte, key uint64) []byte {
	dst = appendPadded(dst, 6+key%16, 2)
	return appendPadded(append(dst, ':'), key>>8%12*5, 2)
}

// person is a name in full or the first one alone.
func person(full bool) writer {
	return func(dst []byte, key uint64) []byte {
		dst = append(dst, firstNames[key%uint64(len(firstNames))]...)
		if full {
			dst = append(append(dst, ' '), lastNames[key>>16%uint64(len(lastNames))]...)
		}
		return dst
	}
}

// email is the address of the person of the same key.
func email(dst []byte, key uint64) []byte {
	dst = append(append(dst, mailNames[key>>16%uint64(len(lastNames))]...), '.')
	return append(digits("", 3)(dst, key>>32), "@example.com"...)
}
