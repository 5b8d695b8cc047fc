package gen

import "sync"

// role is what agents of a kind do and say.
type role struct {
	name, title    string // in ids, for people
	temperature    string // of its model, as JSON
	service        bool   // often started by a service, not by a user
	classification string // of what users and tools tell it
	regulation     string
	sources        []string // that it retrieves documents from

	system   text // instructions
	prompt   text // what it is asked first in a session
	followUp text // and later
	brief    text // what another agent asks it
	query    text // what it looks for in documents
	document text
	reads    []tool
	writes   []tool
	good     text // the last word of a session that reaches its goal
	bad      text // and of one that does not
}

// tool is one that an agent may call. Writes change the world; only they have
// an action.
type tool struct {
	name, kind string
	median     int64 // ms that a call takes
	why        text  // what the model says as it calls it
	args       text  // JSON
	result     text  // JSON

	action, target, policy string
	resource               text
}

// changes says whether the tool changes the world.
func (t *tool) changes() bool { return t.action != "" }

// roles is compiled once, and only by those who generate.
var roles = sync.OnceValue(func() []role {
	return []role{supportRole(), financeRole(), travelRole(), codeRole(), opsRole()}
})

// Tools of a role stand in order of use. Where the mix has drifted, the weights
// are dealt out from the other end.
var (
	readWeights  = []int{46, 27, 18, 9}
	writeWeights = []int{60, 28, 12}
)

func choose(d *dice, from []tool, drifted bool) *tool {
	weights := readWeights
	if from[0].changes() {
		weights = writeWeights
	}
	i := d.pick(weights[:len(from)])
	if drifted {
		i = len(from) - 1 - i
	}
	return &from[i]
}

// thought is what a model thinks before it says something.
const thought = "(First|Then|Next|Maybe|Still:) <~verb> <~adj> <~noun>, (so|then|but|and|or) <~verb2> <~noun2> (before|after|without|unless|beside) <~adj2> <~noun3>." +
	"(| The <~adj3> <~noun4> may <~verb3> <~noun5>; <~verb4> <~noun6> and <~verb5> <~adj4> <~noun7>.| No <~noun8>, <~noun9>.)"

func supportRole() role {
	return role{
		name: "support", title: "Support", temperature: "0.3",
		classification: "confidential", regulation: "GDPR", sources: []string{"help-center", "returns-policy"},
		system: words("You are the support agent of an online shop for (outdoor|home|sports|office) goods. Answer in (two to four|at most five) sentences. " +
			"Look up the order before you say anything about it; never guess a delivery date. Refunds above <price> need the approval of a person: ask for it and wait. " +
			"(Offer an exchange before a refund.|Offer store credit only if the customer asks.|Apologise once, not more.) Hand over to finance what concerns invoices and tax."),
		prompt: words("(Hi|Hello|Good morning|Hey|Dear team), (my order|order number|I am writing about order) <order> (has not arrived yet|came <reason>|shows as delivered but is not here). " +
			"(I ordered|It was) <qty> x <product> for <price> on <date>(.| as a gift.| with express shipping to <city>.) (Could you|Can you please|I need you to) (send it again|refund me|tell me where it is|exchange it|check what happened) <soon>. " +
			"(You can reach me at <email>.|My address is still the one in <city>.|This is the <n>th time I ask.|I paid with the card ending in <card>.)(| Thanks, <first>.| Best, <name>.| <name>)"),
		followUp: words("(Thanks|OK|I see|Hm), (and what about|but also check|can you also look at) (the <product2> in the same parcel|order <order2>|the shipping fee of <price2>|the voucher I used). (It (was|is) <reason2>.|I bought it on <date2>.|The parcel is <tracking2>.)"),
		brief:    words("Customer <name> asks about order <order>: <reason>. Check the parcel <tracking> and what <price> would cost us to send again to <city>."),
		query:    words("(return|refund|exchange|warranty|shipping) (policy|conditions|deadline|steps) for <product> (<reason>|after <~n> weeks|bought on <date>|sent to <city>)"),
		document: words("(Returns|Exchanges|Refunds|Warranty claims) for <product> are accepted within <n> weeks of delivery if the item is (unused|complete|in its box). (The label is sent to the customer by mail.|The customer pays return shipping below <price>.) " +
			"Parcels sent with <carrier> count as lost after <n2> working days without a scan. Cases above <amount> go to the team in <city>. (Reference <hex>.|See also section <n3>.)"),
		reads: []tool{
			{name: "get_order", kind: "function", median: 140,
				why:  words("(Let me look up|I will check|First I look at) order <order>(.| for you.| in our system.)"),
				args: raw(`{"order_id":"<order>","include":["lines","payment"(|,"shipments"|,"events")]}`),
				result: raw(`{"order_id":"<order>","state":"(shipped|delivered|in_transit|returned)","customer":{"name":"<name>","email":"<email>","city":"<city>"},"lines":[{"sku":"<sku>","title":"<product>","qty":<qty>,"price":<price>}(|,{"sku":"<~sku2>","title":"<~product2>","qty":1,"price":<~price2>})],` +
					`"payment":{"method":"card","last4":"<card>","captured":<amount>},"shipment":{"carrier":"<carrier>","tracking":"<tracking>","eta":"<date>"},"etag":"<~token>"}`)},
			{name: "track_parcel", kind: "function", median: 420,
				why:    words("The parcel <tracking> is with <carrier>, (I ask them where it is|let me see the last scans)."),
				args:   raw(`{"carrier":"<carrier>","tracking":"<tracking>"}`),
				result: raw(`{"tracking":"<tracking>","scans":[{"at":"<date> <~clock>","place":"<~city>","state":"accepted"},{"at":"<date> <~clock2>","place":"<~city2>","state":"(in_transit|sorted|held)"},{"at":"<date> <~clock3>","place":"<city>","state":"(out_for_delivery|delivered|exception)"}],"weight_g":<~count>,"request":"<~hex>"}`)},
			{name: "search_customers", kind: "datastore", median: 95,
				why:    words("I (need|want) the customer record of <name> (first|before I go on)."),
				args:   raw(`{"query":"<email>","limit":(1|3|5)}`),
				result: raw(`{"hits":[{"id":"c-<account>","name":"<name>","email":"<email>","since":"<date>","orders":<~qty>,"tier":"(basic|plus|gold)","lifetime":<~amount>}],"took_ms":<~ms>,"cursor":"<~token>"}`)},
			{name: "check_stock", kind: "function", median: 60,
				why:    words("An exchange needs stock: I check <sku>(.| in all warehouses.)"),
				args:   raw(`{"sku":"<sku>"}`),
				result: raw(`{"sku":"<sku>","title":"<product>","stock":[{"warehouse":"<~city>","free":<~count>,"reserved":<~n>},{"warehouse":"<~city2>","free":<~count2>,"reserved":<~n2>}(|,{"warehouse":"<~city3>","free":0,"restock":"<~date>"})]}`)},
		},
		writes: []tool{
			{name: "create_refund", kind: "function", median: 650, action: "refund.create", target: "payments", policy: "refund-limits-v3", resource: words("order/<order>"),
				why:    words("The order qualifies: I refund <price> to the card ending in <card>(.|, since it was <reason>.)"),
				args:   raw(`{"order_id":"<order>","amount":<price>,"reason":"<reason>"(|,"notify":true)}`),
				result: raw(`{"refund_id":"re_<~hex>","order_id":"<order>","amount":<price>,"state":"(accepted|pending)","expected":"<~date>","card":"<card>"}`)},
			{name: "send_email", kind: "extension", median: 310, action: "email.send", target: "mail-gateway", policy: "outbound-mail-v1", resource: words("mailbox/<email>"),
				why:    words("I (confirm this|write the summary) to <email>."),
				args:   raw(`{"to":"<email>","template":"(refund_confirmed|replacement_sent|case_update)","fields":{"first":"<first>","order":"<order>","eta":"<~date>","note":"(We are sorry that it|The item) (arrived|was) <reason>."}}`),
				result: raw(`{"message_id":"<~hex>.<~hex2>@mail.example.com","queued":true,"segment":<~n>}`)},
			{name: "create_ticket", kind: "function", median: 180, action: "ticket.create", target: "helpdesk", policy: "tickets-v1", resource: words("ticket/<ticket>"),
				why:    words("This needs a person: I open a ticket (for the team in <city2>|with what we know)."),
				args:   raw(`{"queue":"(lost_parcels|claims|vip)","subject":"<order>: <reason>","body":"<name> reports order <order> as <reason>. Parcel <tracking>, last seen in <~city>.","priority":<~qty>}`),
				result: raw(`{"ticket":"<ticket>","url":"https://helpdesk.example.com/t/<ticket>","assignee":"<~name2>","sla_hours":<~n>}`)},
		},
		good: words("(Good news, <first>:|All set, <first>.|Done.) (Your refund of <price> for order <order> is on its way and (should|will) arrive (by|around) <date2>.|A replacement for the <product> leaves <city2> tomorrow with <carrier>.|Your parcel <tracking> is in <city2> and comes on <date2>.) (Is there anything else?|Have a nice day!|You will get a mail about it at <email>.|Sorry again for the trouble.)"),
		bad:  words("(I am sorry|Unfortunately|Sorry), <first>, (I could not settle this today|the system does not let me finish this|I cannot refund order <order>). (The <carrier> scan is still missing|A colleague has to look at it|The payment of <price> cannot be found); (ticket <ticket> is open|please write again after <date2>|you will hear from us by <date2>)."),
	}
}

func financeRole() role {
	return role{
		name: "finance", title: "Finance", temperature: "0.0", service: true,
		classification: "confidential", regulation: "SOX", sources: []string{"accounting-manual", "vendor-contracts"},
		system: words("You process (supplier invoices|payables|expense reports) for the accounting team. Match invoice, purchase order and receipt before you post; " +
			"a difference above <pct> % stops the posting. Payments above <amount> need two approvals. " +
			"(Month end is on the last working day.|The books of <month> are closed.) Report what does not match, with the document numbers."),
		prompt: words("(Please|Could you|Kindly) (check|match|post|clear) invoice <invoice> from <vendor> over <amount> (dated|due) <date>. (The purchase order is <order>.|It belongs to cost center <account>.|They claim we paid <price> too little.) " +
			"(It should go into <month>.|There is a credit note over <price2> too.|<name> approved it by mail.) (Tell me what does not match.|Then schedule the payment <soon>.|Write a short note for the file.)"),
		followUp: words("(And|Now also|Next:) (invoice <invoice2> from the same vendor, <amount2>|the freight of <price2> on <invoice>|the open items of <vendor2>). (Same procedure.|Only look, do not post.|Is it in <month2>?)"),
		brief:    words("Check whether invoice <invoice> of <vendor> over <amount> is paid, and what is open for order <order>. Context: <name>, <reason>."),
		query:    words("(approval limits|tolerance|tax code|payment terms|accrual) for (<vendor>|freight invoices|cost center <account>|<month> postings) (over <amount>|with a difference of <pct> %|in <city>)"),
		document: words("Invoices of <vendor> are (paid within <n>0 days|settled by direct debit|checked against the frame contract <hex>). Differences up to <pct> % or <price> are booked to account <account>. " +
			"(Two people approve|The controller approves|The team lead approves) everything above <amount>. (Freight is posted apart.|Credit notes are cleared first.) Contact: <vendor>, <city>, file <order>."),
		reads: []tool{
			{name: "get_invoice", kind: "function", median: 170,
				why:    words("(I open|Let me read|First,) invoice <invoice>(.| and its lines.)"),
				args:   raw(`{"invoice":"<invoice>","with_lines":true}`),
				result: raw(`{"invoice":"<invoice>","vendor":"<vendor>","total":<amount>,"tax":<~price>,"due":"<date>","state":"(open|parked|blocked)","lines":[{"pos":1,"text":"(Paper|Hosting|Freight|Consulting|Catering) <month>","amount":<~amount2>,"account":"<~account2>"},{"pos":2,"text":"(Surcharge|Discount|Deposit)","amount":<~price2>,"account":"<~account3>"}(|,{"pos":3,"text":"(Rounding|Packaging)","amount":0.0<~n>,"account":"<~account>"})],"scan":"s3://ap-scans/<~hex>.pdf"}`)},
			{name: "match_purchase_order", kind: "function", median: 380,
				why:    words("Next the three-way match of <invoice> (with|against) order <order>."),
				args:   raw(`{"invoice":"<invoice>","order":"<order>","tolerance_pct":(1|2|3)}`),
				result: raw(`{"match":"(full|partial|none)","order":{"id":"<order>","total":<amount>,"received":<~amount>},"differences":[(|{"pos":2,"expected":<~price>,"found":<~price2>,"kind":"(price|quantity)"})],"receipt":"GR-<~account>","checked_by":"<~name2>"}`)},
			{name: "list_open_items", kind: "datastore", median: 240,
				why:    words("(What else is open|Let me see what is open) with <vendor>?"),
				args:   raw(`{"partner":"<vendor>","as_of":"<date>"}`),
				result: raw(`{"partner":"<vendor>","items":[{"doc":"<~invoice2>","amount":<~amount>,"due":"<~date>"},{"doc":"<~invoice3>","amount":<~amount2>,"due":"<~date2>"},{"doc":"<~invoice4>","amount":<~amount3>,"due":"<~date3>"}],"next":"<~token>","balance":<~amount4>}`)},
			{name: "run_report", kind: "extension", median: 1400,
				why:    words("The ledger of <month> (shows|should show) it: I run the report."),
				args:   raw(`{"report":"(aging|accruals|tax_preview)","period":"<month>","account":"<account>"}`),
				result: raw(`{"rows":[["<~account>","<~vendor>",<~amount>],["<~account2>","<~vendor2>",<~amount2>],["<~account3>","<~vendor3>",<~amount3>],["<~account4>","<~vendor4>",<~amount4>]],"runtime_ms":<~ms>,"id":"<~hex>"}`)},
		},
		writes: []tool{
			{name: "post_invoice", kind: "function", median: 520, action: "ledger.post", target: "erp", policy: "posting-v7", resource: words("invoice/<invoice>"),
				why:    words("Everything matches, so I post <invoice> to account <account> in <month>."),
				args:   raw(`{"invoice":"<invoice>","account":"<account>","period":"<month>","amount":<amount>,"text":"<vendor> <~hex>"}`),
				result: raw(`{"document":"51<~account2>","posted":"<~date> <~clock>","debit":"<account>","credit":"<~account3>","amount":<amount>}`)},
			{name: "schedule_payment", kind: "function", median: 600, action: "payment.schedule", target: "bank", policy: "payments-four-eyes-v2", resource: words("invoice/<invoice>/payment"),
				why:    words("<vendor> is due on <date>: I put <amount> into the (next|weekly) payment run."),
				args:   raw(`{"invoice":"<invoice>","amount":<amount>,"iban_last4":"<card>","run":"<~date>"}`),
				result: raw(`{"payment":"pm_<~hex>","run":"<~date>","position":<~count>,"state":"(scheduled|awaiting_release)"}`)},
			{name: "request_correction", kind: "extension", median: 350, action: "vendor.notify", target: "mail-gateway", policy: "outbound-mail-v1", resource: words("vendor/<account>"),
				why:    words("Position <qty> is off by <price>: I ask <vendor> for a corrected invoice."),
				args:   raw(`{"vendor":"<vendor>","invoice":"<invoice>","issue":"Position <qty>: (expected|ordered) <price>, (found|invoiced) <price2>.","reply_by":"<~date>"}`),
				result: raw(`{"message_id":"<~hex>.<~hex2>@mail.example.com","case":"<~ticket>"}`)},
		},
		good: words("(Done:|Finished.|Result:) invoice <invoice> of <vendor> over <amount> (is posted to account <account>|matches order <order> and is scheduled for <date2>|is cleared against the credit note over <price2>). (No differences.|One difference of <price> within tolerance.) (Next due date: <date2>.|The note is in the file.|Nothing else is open.)"),
		bad:  words("I (stopped|did not post it): invoice <invoice> (differs from order <order> by <price>|has no receipt|was paid already on <date2>). (Please decide.|<vendor> has to correct position <qty>.|The period <month> is closed.) Documents: <invoice>, <order>."),
	}
}
