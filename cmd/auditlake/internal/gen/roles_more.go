package gen

func travelRole() role {
	return role{
		name: "travel", title: "Travel", temperature: "0.5",
		classification: "confidential", regulation: "GDPR", sources: []string{"travel-policy", "destination-guides"},
		system: words("You book business travel for employees. (Rail before air below four hours.|The cheapest flexible fare wins.|Direct flights win up to <price> more.) Hotels up to <price2> a night; more needs the approval of the manager. " +
			"Ask for what is missing, (one question at a time|all in one message). Never book before the traveller has said yes. Passport numbers are never repeated in an answer."),
		prompt: words("(Hi|Hello|Hey there), I (need|have) to be in <city> on <date> (by|around) <clock>(, coming from <city2>|, from <airport>). (I come back on <date2>.|Back the same day if possible.|I stay <n> nights.) " +
			"(Please find|Can you book|What is) (a flight|the best connection|a flight and a hotel near <hotel>) (<soon>|below <amount>). (Aisle seat.|I have one checked bag.|<name2> travels with me.|My booking <pnr> has to change for it.)"),
		followUp: words("(Great|Hm|Thank you), (can we make it|is there also something|what about) (<clock2> instead|one day later, <date2>|with <hotel2>|through <airport2>)? (I would pay up to <price2>.|The meeting moved.|My manager agreed.)"),
		brief:    words("Traveller <name> needs another connection to <city> on <date>; booking <pnr>, flight <flight>, reason: <reason>."),
		query:    words("(visa|baggage|hotel limit|rail or air|per diem) (rules|limits) for <city> (in <month>|from <airport>|staying <~n> nights|with <flight>)"),
		document: words("Trips to <city>: the limit for hotels is <price> a night, <price2> in <month>. (Take the train from <airport>.|Taxis are paid up to <price3>.|The office is ten minutes from <hotel>.) " +
			"Fares above <amount> need approval <n> days ahead. (Visitors from abroad need an invitation letter.|Breakfast is not included.) Emergency desk: extension <room>, code <hex>."),
		reads: []tool{
			{name: "search_flights", kind: "function", median: 1150,
				why:    words("(Let me see|I look for) flights to <city> on <date>(.| that land by <clock>.)"),
				args:   raw(`{"from":"<airport>","to":"<airport2>","date":"<date>","max_stops":(0|1)}`),
				result: raw(`{"offers":[{"id":"of_<~hex>","flight":"<flight>","dep":"<~clock>","arr":"<clock>","fare":<~price>,"class":"(Y|M|K)"},{"id":"of_<~hex2>","flight":"<~flight2>","dep":"<~clock2>","arr":"<~clock3>","fare":<~amount>,"class":"(Y|B|J)"}(|,{"id":"of_<~hex3>","flight":"<~flight3>","dep":"<~clock4>","arr":"<~clock5>","fare":<~amount2>,"class":"W"})],"currency":"(EUR|USD)","ttl_s":<~ms>,"session":"<~token>"}`)},
			{name: "search_hotels", kind: "function", median: 900,
				why:    words("For the nights from <date> I check hotels in <city>(.| within the limit.)"),
				args:   raw(`{"city":"<city>","from":"<date>","nights":<n>,"max_rate":<price>}`),
				result: raw(`{"hotels":[{"name":"<hotel>","rate":<~price>,"rating":4.<~qty>,"walk_min":<~n>},{"name":"<~hotel2>","rate":<~price2>,"rating":4.<~qty2>,"walk_min":<~n2>},{"name":"<~hotel3>","rate":<~price3>,"rating":3.<~n3>,"walk_min":<~pct>}],"session":"<~hex>"}`)},
			{name: "get_booking", kind: "datastore", median: 210,
				why:    words("I open booking <pnr>(.| to see what can be changed.)"),
				args:   raw(`{"pnr":"<pnr>"}`),
				result: raw(`{"pnr":"<pnr>","traveller":"<name>","segments":[{"flight":"<flight>","from":"<airport>","to":"<airport2>","date":"<date>","seat":"<~n>(A|C|D|F)"}],"fare":<amount>,"refundable":(true|false),"ticket":"220-<account>","changed":"<~date>"}`)},
			{name: "get_weather", kind: "extension", median: 260,
				why:    words("(The weather in <city> matters here.|A look at the weather in <city>.)"),
				args:   raw(`{"place":"<city>","date":"<date>"}`),
				result: raw(`{"place":"<city>","high_c":<~n>,"rain_pct":<~pct>,"wind_kmh":<~pct2>,"text":"(Light rain|Sun and clouds|Fog until noon|Snow showers|Clear)","model_run":"<~hex>"}`)},
		},
		writes: []tool{
			{name: "book_trip", kind: "function", median: 1900, action: "booking.create", target: "gds", policy: "travel-limits-v4", resource: words("booking/<pnr>"),
				why:    words("(You said yes, so I book|Booking) <flight> on <date> and <hotel> for <n> nights."),
				args:   raw(`{"traveller":"<name>","offer":"of_<~hex>","hotel":"<hotel>","nights":<n>,"total":<amount>}`),
				result: raw(`{"pnr":"<pnr>","ticket":"220-<account>","total":<amount>,"voucher":"<~hex>","hold_until":"<~date> <~clock>"}`)},
			{name: "change_booking", kind: "function", median: 1500, action: "booking.change", target: "gds", policy: "travel-limits-v4", resource: words("booking/<pnr>"),
				why:    words("I move <pnr> to <flight> on <date2>; the change costs <price>."),
				args:   raw(`{"pnr":"<pnr>","to":{"flight":"<flight>","date":"<date2>"},"fee":<price>}`),
				result: raw(`{"pnr":"<pnr>","old":"<~flight2>","new":"<flight>","fee":<price>,"receipt":"<~hex>","seat":"<~n>(B|C|E)"}`)},
			{name: "cancel_booking", kind: "function", median: 1100, action: "booking.cancel", target: "gds", policy: "travel-cancel-v1", resource: words("booking/<pnr>"),
				why:    words("As agreed I cancel <pnr>; <price> come back."),
				args:   raw(`{"pnr":"<pnr>","reason":"(meeting moved|illness|<reason>)"}`),
				result: raw(`{"pnr":"<pnr>","refund":<price>,"penalty":<~price2>,"reference":"<~hex>"}`)},
		},
		good: words("(You are booked|It is done|All confirmed), <first>: <flight> from <airport> on <date>, (seat <n>C|with one bag), and <n2> nights at <hotel> in <city>. (Total <amount>.|Record locator <pnr>.|The confirmation is at <email>.) (Safe travels!|Shall I add it to your calendar?|Anything else?)"),
		bad:  words("(Sorry|I am afraid), <first>, (nothing lands in <city> before <clock>|all fares are above <amount>|<pnr> cannot be changed). (The next best is <flight> on <date2>.|Your manager has to approve <price2> more.|Please call extension <room>.)"),
	}
}

func codeRole() role {
	return role{
		name: "code", title: "Code", temperature: "0.1", service: true,
		classification: "internal", sources: []string{"engineering-handbook", "design-docs"},
		system: words("You change code in the repositories of the company. Read before you write; keep a change (small|to one purpose); run the tests that cover it and quote what failed. Branches are named fix/issue-N. " +
			"(Public interfaces need a design note.|Dependencies change only in their own pull request.) Never force-push, never merge without the approval of an owner. Answer with the pull request and (one paragraph|three points) on what and why."),
		prompt: words("(Fix|Look into|Please debug|Investigate) (the flaky test|a crash|the slow path|the off-by-one) in `<func>` of <repo> (<file>|near line <line> of <file>). (It fails on <pct> % of the runs since <deploy>.|It started with commit <commit>.|Customers see it as a timeout after <ms> ms.) " +
			"(Write a test first.|Open a pull request <soon>.|I think <module> is to blame.|Do not touch <file2>.)"),
		followUp: words("(Looks good, but|Nice.|One more thing:) (rename <func2> too|also update <module>|the review asks for a test of <func2>|CI is red in <file2>, line <line2>). (Keep the old behaviour.|Same branch.|Squash it.)"),
		brief:    words("Please look at <repo>: <func> in <file> fails since <deploy>, error rate <pct> %, first bad commit <commit>."),
		query:    words("(how is|where is|conventions for|owners of) `<func>` (used|tested|documented) in <repo> (<file>|with <module>|since <~commit>)"),
		document: words("In <repo> the package around <file> (owns|hides) `<func>`. Callers must (hold the lease|pass a context|close what they open); <module> is pinned since <date>. " +
			"(A failed call is retried <n> times with jitter.|Errors are wrapped once, at the edge.) Tests run in <ms> ms, coverage is <pct> %. Owner: team <city>, decision record <hex>, revision <commit>."),
		reads: []tool{
			{name: "search_code", kind: "datastore", median: 190,
				why:    words("(Where is|Let me find) `<func>` (used|called|defined) in <repo>(?|.)"),
				args:   raw(`{"repo":"<repo>","query":"<func>","limit":(10|20|50)}`),
				result: raw(`{"total":<~pct>,"hits":[{"path":"<file>","line":<line>,"text":"\tif err := <func>\(ctx, <~n>\); err != nil {"},{"path":"<~file2>","line":<~line2>,"text":"\tgot := <func>\(<~count>\)"},{"path":"<~file3>","line":<~line3>,"text":"// <func> is kept for <~module>"}],"next":"<~token>"}`)},
			{name: "read_file", kind: "function", median: 70,
				why:    words("I read <file> around line <line>(.| at <commit>.)"),
				args:   raw(`{"repo":"<repo>","path":"<file>","rev":"<commit>","from":<line>,"lines":(40|60|80)}`),
				result: raw(`{"path":"<file>","rev":"<commit>","blob":"<~hex><~hex2>","content":"func <func>\(ctx context.Context, n int\) error {\n\tfor i := range n {\n\t\tif i == <~n> {\n\t\t\treturn fmt.Errorf\(\"step %d of <~func2>\", i\)\n\t\t}\n\t}\n\treturn <~func3>\(ctx, <~count>\)\n}\n"}`)},
			{name: "run_tests", kind: "function", median: 6200,
				why:    words("(Now the tests.|I run the tests of <file>.|Does it still fail?)"),
				args:   raw(`{"repo":"<repo>","package":"<file>","run":"Test<func>","count":(1|5|20)}`),
				result: raw(`{"passed":<~count>,"failed":(0|0|1|2),"seconds":<~n>.<~pct>,"log":"=== RUN Test<func>\n    assert: want <~count2>, got <~count3>\n--- (ok|FAIL): Test<func> \(0.<~ms>s\)\nrev <~commit>","cache":"<~hex>"}`)},
			{name: "list_commits", kind: "datastore", median: 130,
				why:    words("(What changed in <file> lately?|The history of <file> may tell.)"),
				args:   raw(`{"repo":"<repo>","path":"<file>","limit":3}`),
				result: raw(`{"commits":[{"rev":"<commit>","author":"<~name2>","text":"(Fix|Speed up|Simplify) <~func>"},{"rev":"<~commit2>","author":"<~name3>","text":"(Bump|Pin|Drop) <~module>"},{"rev":"<~commit3>","author":"<~name4>","text":"(Move|Split|Test) <~func2> of <~file>"}]}`)},
		},
		writes: []tool{
			{name: "open_pull_request", kind: "function", median: 1300, action: "pull_request.open", target: "git", policy: "code-review-v2", resource: words("<repo>/pull/<pull>"),
				why:    words("The fix is small: I push <branch> and open a pull request."),
				args:   raw(`{"repo":"<repo>","branch":"<branch>","title":"(Fix|Guard|Correct) <func> in <file>","diff":"@@ -<line>,2 +<line>,3 @@\n-\treturn <~func2>\(<~n>\)\n+\tif n == <~n2> {\n+\t\treturn <~func2>\(<~count>\)\n+\t}\n"}`),
				result: raw(`{"number":<pull>,"url":"https://git.example.com/<repo>/pull/<pull>","head":"<~commit>","checks":"(pending|queued)","reviewer":"<~name2>"}`)},
			{name: "comment_issue", kind: "function", median: 330, action: "issue.comment", target: "git", policy: "code-review-v2", resource: words("<repo>/issues/<count>"),
				why:    words("I note on the issue what <commit> (broke|changed)."),
				args:   raw(`{"repo":"<repo>","issue":<count>,"body":"` + "`<func>`" + ` (fails|returns early) when <~count2> rows (are pending|time out); see <file>:<line>. (Bisected to|Likely since) <commit>."}`),
				result: raw(`{"comment":<~count2>,"url":"https://git.example.com/<repo>/issues/<count>#c<~hex>"}`)},
			{name: "trigger_build", kind: "extension", median: 480, action: "build.trigger", target: "ci", policy: "ci-v1", resource: words("<repo>/builds/<branch>"),
				why:    words("A build of <branch> (will|should) show it on all platforms."),
				args:   raw(`{"repo":"<repo>","ref":"<branch>","matrix":["linux","darwin"(|,"windows")],"race":(true|false)}`),
				result: raw(`{"build":"b-<~account2>","queue":<~n>,"eta_s":<~ms>,"log":"https://ci.example.com/b/<~hex>"}`)},
		},
		good: words("(Fixed|Done|Here it is): `<func>` in <file> (no longer drops the last row|checks the bound|waits for the lease). (Pull request <pull> in <repo> is open|Branch <branch> builds), tests pass in <ms> ms. (The cause was commit <commit>.|<module> was not to blame.|I left <file2> alone, as you asked.)"),
		bad:  words("I (could not reproduce it|ran out of ideas|do not trust my fix): Test<func> (passes <count> times here|still fails in <file>, line <line>|depends on <module>). (A person who knows <repo> should look.|The logs of <deploy> are gone.|Branch <branch> holds what I tried.)"),
	}
}

func opsRole() role {
	return role{
		name: "ops", title: "Ops", temperature: "0.2", service: true,
		classification: "internal", sources: []string{"runbooks", "postmortems"},
		system: words("You assist the engineer on call. (Stabilise first, explain later.|Find the last change first.) Every command that changes production needs the approval of the person on call, (with the effect stated before|with a way back). " +
			"Read the runbook of the alert and quote its step. (At most <n> restarts an hour.|Never scale below <n2>.) Post to the incident channel when you know the cause."),
		prompt: words("(Alert|Page|Warning): <service> (error ratio at <pct> %|p99 at <ms> ms|queue depth <count>0) on <host> since <clock>. (Release <deploy> went out shortly before.|No release today.|Traffic is up <pct2> %.) " +
			"(What changed?|Please triage.|Find the cause and propose a step.|Who owns this?) (Severity <qty>.|Customers in <city> are affected.|<name> is on call.|Dashboard <hex>.)"),
		followUp: words("(Still|Now) (<pct2> % errors|<ms2> ms p99|climbing) on <host2>. (Check <service2> too.|Did the rollback of <deploy> land?|Is it <module>?|Tell the channel.)"),
		brief:    words("Is <service> healthy? <repo> sees errors from <host> since <clock>; release <deploy>, <pct> % of calls fail."),
		query:    words("(runbook|postmortem|owner|known issue) <service> (error ratio|latency|queue depth|disk) (<host>|after <deploy>|above <~pct> %)"),
		document: words("When <service> (burns its error budget|queues more than <count>0 messages), (drain <host>|check release <deploy>|look at <module>) first. Step <n>: (restart one node at a time|scale to <n2>|roll back), wait <ms> seconds. " +
			"(The incident of <date> had this cause.|Page team <city> if it lasts.) Limits: <ms2> ms at p99, <pct> % of the pool. Checksum <hex>."),
		reads: []tool{
			{name: "query_metrics", kind: "datastore", median: 310,
				why:    words("(First the numbers|Let me look at the graph) of <service>(.| around <clock>.)"),
				args:   raw(`{"query":"(rate|p99|errors):<service>{host=\"<host>\"}","from":"<date>T<clock>:00Z","step_s":60}`),
				result: raw(`{"series":[{"host":"<host>","values":[<~ms>,<~ms2>,<~ms3>,<~ms4>,<~count>,<~count2>,<~count3>,<~ms5>]},{"host":"<~host2>","values":[<~ms6>,<~ms7>,<~ms8>,<~ms9>,<~ms10>,<~ms11>,<~ms12>,<~ms13>]}],"unit":"(ms|1/s)","next":"<~token>"}`)},
			{name: "search_logs", kind: "datastore", median: 850,
				why:    words("The logs of <host> (may|should) say why."),
				args:   raw(`{"service":"<service>","host":"<host>","level":"(error|warn)","last":"(15m|1h)"}`),
				result: raw(`{"lines":["<~clock>:<~pct> <host> <service>: (connection reset|deadline exceeded|pool exhausted) after <~ms> ms trace=<~hex>","<~clock2>:<~pct2> <host> <service>: retry <~n> of <~func> failed trace=<~hex2>","<~clock3>:<~pct3> <~host2> <~service>: slow query <~ms2> ms rows=<~count>"],"dropped":<~pct4>}`)},
			{name: "list_deploys", kind: "function", median: 160,
				why:    words("What was released to <service> (today|before <clock>)?"),
				args:   raw(`{"service":"<service>","limit":3}`),
				result: raw(`{"deploys":[{"id":"<deploy>","rev":"<commit>","at":"<clock>","by":"<~name2>"},{"id":"<~deploy2>","rev":"<~commit2>","at":"<~clock2>","by":"<~name3>"},{"id":"<~deploy3>","rev":"<~commit3>","at":"<~clock3>","by":"<~name4>"}]}`)},
			{name: "ping_host", kind: "function", median: 45,
				why:    words("Is <host> up at all?"),
				args:   raw(`{"host":"<host>","count":3}`),
				result: raw(`{"host":"<host>","rtt_ms":[0.<~ms>,0.<~ms2>,0.<~ms3>],"loss_pct":0,"kernel":"6.<~n>.<~pct>","load":<~n2>.<~pct2>}`)},
		},
		writes: []tool{
			{name: "restart_service", kind: "function", median: 2400, action: "service.restart", target: "cluster", policy: "prod-change-v5", resource: words("<service>/<host>"),
				why:    words("Step <n> of the runbook: restart <service> on <host>(.|, then watch p99.)"),
				args:   raw(`{"service":"<service>","host":"<host>","drain":(true|true|false),"timeout_s":<n>0}`),
				result: raw(`{"host":"<host>","old_pid":<~count>,"new_pid":<~count2>,"ready_after_ms":<~ms>,"job":"<~hex>"}`)},
			{name: "rollback_release", kind: "function", median: 4100, action: "release.rollback", target: "cluster", policy: "prod-change-v5", resource: words("<service>/<deploy>"),
				why:    words("<deploy> is the only change: I roll <service> back."),
				args:   raw(`{"service":"<service>","from":"<deploy>","reason":"error ratio <pct> % on <host>"}`),
				result: raw(`{"from":"<deploy>","to":"<~deploy2>","hosts":<~n>,"seconds":<~pct>,"job":"<~hex>","rev":"<~commit>"}`)},
			{name: "page_person", kind: "extension", median: 380, action: "page.send", target: "pager", policy: "paging-v1", resource: words("team/<service>"),
				why:    words("This needs the owner of <service>: I page the team."),
				args:   raw(`{"team":"<service>","severity":<qty>,"text":"<service> on <host>: <pct> % errors since <clock>, suspect <deploy>."}`),
				result: raw(`{"page":"pg_<~hex>","acknowledged_by":"<~name2>","after_s":<~ms>}`)},
		},
		good: words("(Over:|Resolved.|Stable again:) <service> is (below <n> ms p99|at 0.0<n> % errors|draining its queue) since <clock2>. Cause: (release <deploy>|a full pool on <host>|a slow query in <func>). (Rolled back.|One node restarted.|No customer data was lost.) (Postmortem draft: <hex>.|Follow-up: <ticket>.)"),
		bad:  words("(Not resolved|I am stuck): <service> on <host> (still shows <pct> % errors|flaps between <ms> and <ms2> ms). (The runbook has no step for it.|Logs of <clock> are missing.|Rolling back <deploy> did not help.) (Paging the owner.|A person must take over.|Ticket <ticket> has what I found.)"),
	}
}
