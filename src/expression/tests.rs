//! Expressions from text to value: operators, missing features, functions, costs, and all problems with their
//! places.

use jiff::tz::TimeZone;

use super::*;
use crate::input::origin::Origin;
use crate::schema::context::Context;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, Schema};

fn schema() -> Schema {
    let text = "
schema: t
features:
  age: {kind: int, min: 0, max: 120}
  aum: {kind: decimal, scale: 2, min: 0, max: 10000000}
  churn: {kind: float}
  vip: {kind: bool}
  tier: {kind: enum, values: [mass, gold, private]}
  risk: {kind: enum, values: [R1, R2, R3], ordered: true}
  other_risk: {kind: enum, values: [R1, R2, R3], ordered: true}
  interests: {kind: set, values: [funds, travel, study]}
  seen: {kind: time}
  logins: {kind: count, event: login, window: 7d}
context:
  page: {kind: enum, values: [home, fx]}
  topics: {kind: set, values: [funds, travel]}
  intent: {kind: string}
  amount: {kind: float, precision: double}
events: {login: {}}
offer_attributes:
  risk: {kind: enum, values: [R1, R2, R3], ordered: true}
  min_age: {kind: int}
  label: {kind: string}
  ends: {kind: time}
";
    Schema::parse("schema.yaml", text).unwrap()
}

/// A row from `name=value` pairs in the text form of CSV.
fn row(schema: &Schema, features: &str) -> Vec<u64> {
    let mut row = vec![0; schema.row_words()];
    for pair in features.split_whitespace() {
        let (name, text) = pair.split_once('=').unwrap();
        let feature = schema.feature(schema.feature_id(name).unwrap());
        let value = feature.kind.read_text(text, &TimeZone::UTC).unwrap();
        feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
    }
    row
}

/// The value of `text` for these features and context, with tags `young`, `rich` and the offer attributes
/// risk R2, no min_age.
fn evaluate(text: &str, features: &str, context: &[(&str, &str)]) -> String {
    let schema = schema();
    let words = row(&schema, features);
    let names = TagNames::new(["young", "rich"]);
    let scope = Scope { tags: &names, ..Scope::of(&schema) };
    let tag = |name: &str, text| {
        let condition = scope.condition(&Syntax::parse(text, Origin::default()).unwrap()).unwrap();
        Tag { name: name.into(), condition }
    };
    let tags = [tag("young", "age < 30"), tag("rich", "aum >= 1000000 && !tag.young")];
    let offer = |name: &str| Some(if name == "risk" { Value::Text("R2".into()) } else { Value::Null });
    let scope = Scope { offer: Some(OfferScope { value: &offer }), ..scope };
    let syntax = Syntax::parse(text, Origin::default()).unwrap();
    let expression = scope.any(&syntax).unwrap_or_else(|problems| panic!("{text}: {problems}"));
    let mut seen = Context::default();
    for (name, value) in context {
        let id = schema.context_id(name).unwrap();
        seen.set(id, schema.context()[usize::from(id.0)].kind.read_text(value, &TimeZone::UTC).unwrap());
    }
    let memo = TagMemo::new(tags.len());
    let facts = Facts {
        schema: &schema,
        vector: FeatureVector::new(&words),
        customer: None,
        context: &seen,
        channel: ChannelId(0),
        now: Time::parse("2026-11-21").unwrap(),
        tags: &tags,
        memo: &memo,
        variables: &[],
    };
    expression.evaluate(&facts).to_string()
}

fn check(cases: &[(&str, &str, &str)]) {
    for (text, features, expected) in cases {
        assert_eq!(evaluate(text, features, &[]), *expected, "{text} with {features}");
    }
}

#[test]
fn a_missing_feature_has_no_answer_unless_the_other_side_decides() {
    check(&[
        ("age > 18", "", "missing"),
        ("age > 18 || vip", "vip=true", "true"),
        ("vip || age > 18", "vip=true", "true"),
        ("age > 18 || vip", "vip=false", "missing"),
        ("age > 18 && vip", "vip=false", "false"),
        ("age > 18 && vip", "vip=true", "missing"),
        ("!(age > 18)", "", "missing"),
        ("vip ? 1 : age", "vip=true", "1"),
        ("age > 18 ? 1 : 2", "", "missing"),
        ("logins >= 3", "", "false"), // nothing happened: that is known to be none
    ]);
}

#[test]
fn presence_is_asked_with_has_or_null() {
    check(&[
        ("has(customer.age)", "", "false"),
        ("has(customer.age)", "age=3", "true"),
        ("age == null", "", "true"),
        ("null != age", "age=3", "true"),
        ("has(context.page)", "", "false"),
        ("offer.min_age == null", "", "true"),
        ("has(offer.risk)", "", "true"),
        ("!has(customer.age) || age > 18", "", "true"),
    ]);
}

#[test]
fn enums_compare_by_name_and_ordered_ones_by_their_order() {
    check(&[
        ("tier == 'gold'", "tier=gold", "true"),
        ("'gold' != tier", "tier=private", "true"),
        ("tier in ['mass', 'gold']", "tier=gold", "true"),
        ("tier in ['mass', 'gold']", "tier=private", "false"),
        ("tier in ['mass']", "", "missing"),
        ("risk >= 'R2'", "risk=R3", "true"),
        ("'R2' > risk", "risk=R1", "true"),
        ("risk < other_risk", "risk=R1 other_risk=R3", "true"),
        ("risk == other_risk", "risk=R3 other_risk=R3", "true"),
        ("offer.risk <= risk", "risk=R1", "false"),
        ("offer.risk <= risk", "risk=R2", "true"),
        ("offer.risk == null || offer.risk <= risk", "risk=R3", "true"),
        ("tier + '!'", "tier=gold", "'gold!'"),
        ("tier.startsWith('pri')", "tier=private", "true"),
    ]);
}

#[test]
fn sets_know_membership_size_and_loops() {
    check(&[
        ("'funds' in interests", "interests=funds|study", "true"),
        ("'travel' in interests", "interests=funds|study", "false"),
        ("'travel' in interests", "", "missing"),
        ("[5].exists(age, customer.age > 3)", "age=1", "false"),
        ("true && [true, 1][0]", "", "true"),
        ("true && [true, 1][1]", "", "no answer (values of these types cannot be combined)"),
        ("size(interests)", "interests=funds|study", "2"),
        ("interests.size() > 2", "interests=funds|study", "false"),
        ("interests.exists(i, i == 'study')", "interests=funds|study", "true"),
        ("interests.exists(i, i in ['travel', 'study'])", "interests=travel", "true"),
        ("interests.all(i, i != 'travel')", "interests=funds|study", "true"),
        ("interests.exists_one(i, i.startsWith('s'))", "interests=funds|study", "true"),
        ("interests.map(i, i + '!')", "interests=funds|study", "['funds!', 'study!']"),
        ("interests.filter(i, i != 'funds')", "interests=funds|study", "['study']"),
        ("[1, 2, 3].exists(x, [4, 5].exists(y, x + y == 8))", "", "true"),
        ("[1, 2, 3].exists(x, [4, 5].exists(y, x + y == 9))", "", "false"),
        ("[1, 2, 3].exists(x, x == age)", "", "missing"),
    ]);
}

#[test]
fn work_that_cannot_be_known_before_ends_all_the_same() {
    let intent = "x".repeat(100_000);
    let text = "context.intent.split('').map(c, context.intent + c).size() > 0";
    for text in [text, "context.intent.replace('x', context.intent).size() > 0"] {
        let refused = check_cost(text);
        assert!(refused.contains("at most 20000 are allowed"), "{text}: {refused}");
    }
    let text = "context.intent.contains('y') || context.intent.contains('z') || context.intent.endsWith('y') \
                || context.intent.lowerAscii() == ''";
    let long = evaluate(text, "", &[("intent", &intent)]);
    assert_eq!(long, "no answer (too much work for one condition)");
    assert_eq!(evaluate(text, "", &[("intent", &intent[..1_000])]), "false");
}

fn check_cost(text: &str) -> String {
    let schema = schema();
    let syntax = Syntax::parse(text, Origin::default()).unwrap();
    Scope::of(&schema).condition(&syntax).unwrap_err().to_string()
}

#[test]
fn texts_numbers_and_times_have_their_functions() {
    check(&[
        ("tier.matches('^(gold|private)$')", "tier=gold", "true"),
        ("tier.matches('^g')", "tier=mass", "false"),
        ("tier.matches('^g')", "", "missing"),
        ("tier.upperAscii() == 'GOLD' && ' x '.trim() == 'x'", "tier=gold", "true"),
        ("'a,b,c'.split(',').join('-')", "", "'a-b-c'"),
        ("tier.substring(0, 1) + tier.charAt(3)", "tier=gold", "'gd'"),
        ("'tacocat'.lastIndexOf('a', 3) + 'tacocat'.indexOf('c')", "", "3"),
        ("math.greatest(age, 18) + math.least([3, 1, 2])", "age=30", "31"),
        ("math.round(aum) == 16.0", "aum=15.99", "true"),
        ("now.getDayOfWeek('Asia/Ho_Chi_Minh') == 6", "", "true"),
        ("now.getHours('+07:00')", "", "7"),
        ("(now - seen).getHours()", "seen=2026-11-20", "24"),
        ("{'mass': 1, 'gold': 2}[tier] * 2", "tier=gold", "4"),
        ("{'mass': 1, 'gold': 2}[tier]", "tier=private", "no answer (no such key)"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "", "true"),
        ("{'a': 1, 'b': 2}.exists(k, v, k == tier || v == 2)", "tier=gold", "true"),
        ("[3, 4].transformMap(i, v, v > 3, v * 2)", "", "{1: 8}"),
        (
            "interests.transformList(i, word, string(i) + word)",
            "interests=funds|study",
            "['0funds', '1study']",
        ),
        ("type(tier) == string && type(interests) == list", "tier=gold interests=funds", "true"),
        ("uint(age) == 3u && 3u < 4.5 && dyn(age) == 3.0", "age=3", "true"),
        ("dyn(age) + 'x' == 'x' || vip", "age=3 vip=true", "true"),
        ("duration('400000h') > duration('1s')", "", "true"),
    ]);
}

#[test]
fn the_deepest_expression_fits_half_of_a_usual_stack() {
    let chain = format!("age{} > 0", " + 1".repeat(MAX_DEPTH - 4));
    let brackets = format!("{}vip{}", "!(".repeat(MAX_BRACKETS), ")".repeat(MAX_BRACKETS));
    let deep = [chain, brackets];
    let one_mebibyte = std::thread::Builder::new().stack_size(1 << 20);
    let run = move || deep.map(|text| evaluate(&text, "age=1 vip=true", &[]));
    // Parsing needs a bigger stack than evaluating, and is done by threads that have one. So a thread with
    // 16 MiB does everything here, and a thread as small as those for requests evaluates once more.
    let parse = std::thread::Builder::new().stack_size(16 << 20).spawn(run).unwrap();
    assert_eq!(parse.join().unwrap(), ["true", "true"]);
    let deepest = (0..MAX_DEPTH).fold(Node::Feature(FeatureId(0)), |node, _| Node::Negate(Box::new(node)));
    let run = move || {
        let (schema, context, memo) = (schema(), Context::default(), TagMemo::default());
        let words = row(&schema, "age=1");
        let vector = FeatureVector::new(&words);
        let facts = Facts { vector, ..Facts::of_context(&schema, &context, &memo) };
        deepest.evaluate(&facts).to_string()
    };
    assert_eq!(one_mebibyte.spawn(run).unwrap().join().unwrap(), "1");
}

#[test]
fn numbers_follow_cel() {
    check(&[
        ("1 + 2 * 3", "", "7"),
        ("7 / 2", "", "3"),
        ("-7 / 2", "", "-3"),
        ("-7 % 3", "", "-1"),
        ("7.0 / 2.0", "", "3.5"),
        ("age / 0", "age=1", "no answer (division by zero)"),
        ("9223372036854775807 + age", "age=1", "no answer (overflow)"),
        ("1.0 / 0.0 > 1.0", "", "true"),
        ("churn >= 0.7 && churn == 0.7 && 0.7 <= churn", "churn=0.7", "true"),
        ("churn > 0.7", "churn=0.7", "false"),
        ("0.0 / 0.0 == 0.0 / 0.0", "", "false"),
        ("1 == 1.0 && 1 < 1.5 && 2.0 >= 2", "", "true"),
        ("9007199254740993 > 9007199254740992.0", "", "true"),
        ("age / 0 > 1 || true", "age=1", "true"),
        ("aum >= 500000 && aum < 1000000", "aum=999999.99", "true"),
        ("aum >= 500000 && aum < 1000000", "aum=1000000", "false"),
        ("double(age) * 1.5", "age=30", "45"),
        ("int(aum) % 7", "aum=15.99", "1"),
        ("age > 20 ? 1.5 : 1.0", "age=30", "1.5"),
    ]);
}

#[test]
fn times_and_durations_add_up() {
    check(&[
        ("now - seen < duration('720h')", "seen=2026-11-01", "true"),
        ("now - seen < duration('720h')", "seen=2026-10-01", "false"),
        ("seen >= timestamp('2026-01-01T00:00:00Z')", "seen=2026-01-01", "true"),
        ("seen + duration('24h') == timestamp('2026-01-02T00:00:00Z')", "seen=2026-01-01", "true"),
        ("now - seen", "", "missing"),
    ]);
}

#[test]
fn tags_context_and_channel_are_seen() {
    check(&[
        ("tag.young", "age=20", "true"),
        ("tag.rich", "age=20 aum=2000000", "false"),
        ("tag.rich", "age=50 aum=2000000", "true"),
        ("!tag.young", "", "missing"),
        ("context.channel == 'app'", "", "true"),
    ]);
    assert_eq!(
        evaluate(
            "context.page == 'fx' && context.intent.contains('loan')",
            "",
            &[("page", "fx"), ("intent", "home loan")]
        ),
        "true"
    );
    assert_eq!(evaluate("context.amount > 100", "", &[("amount", "100.5")]), "true");
    assert_eq!(evaluate("'funds' in context.topics", "", &[("topics", "funds|funds")]), "true");
    assert_eq!(evaluate("'travel' in context.topics", "", &[("topics", "funds")]), "false");
    assert_eq!(evaluate("size(context.topics) == 1", "", &[("topics", "funds|funds")]), "true");
    assert_eq!(evaluate("context.amount > 100", "", &[]), "missing");
}

#[test]
fn constants_are_folded_away() {
    let schema = schema();
    for (text, expected) in [
        ("offer.risk == null || offer.risk <= risk", Some("true")),
        ("offer.min_age != null && age >= offer.min_age", Some("false")),
        ("offer.label == null || size(offer.label) > 3", Some("true")),
        ("offer.label != null && offer.label.matches('^gold')", Some("false")),
        ("offer.label == null || offer.label.startsWith('a') && vip", Some("true")),
        ("offer.label == null || offer.label.split(' ').size() == 2", Some("true")),
        ("offer.min_age == null || math.abs(offer.min_age) < age", Some("true")),
        ("offer.ends != null && offer.ends.getFullYear('Asia/Shanghai') > 2026", Some("false")),
        ("offer.label == null || [offer.label].exists(label, size(label) > 3)", Some("true")),
        ("1 + 1 == 2 && age > 3", None),
        ("true || age > 3", Some("true")),
        ("age > 3 && false", Some("false")),
        ("1 > 2 ? age > 3 : true", Some("true")),
    ] {
        let offer = |_: &str| Some(Value::Null);
        let scope = Scope { offer: Some(OfferScope { value: &offer }), ..Scope::of(&schema) };
        let expression = scope.condition(&Syntax::parse(text, Origin::default()).unwrap()).unwrap();
        assert_eq!(expression.constant().map(ToString::to_string).as_deref(), expected, "{text}");
    }
}

#[test]
fn problems_say_where_what_and_what_to_try() {
    let schema = schema();
    let names = TagNames::new(["young"]);
    let scope = Scope { tags: &names, ..Scope::of(&schema) };
    for (text, under, detail, hint) in [
        (
            "1 < age < 9",
            "1 < age < 9",
            "true or false and an int cannot be compared",
            "write `1 < age && age < 9`",
        ),
        (
            "age > '18'",
            "age > '18'",
            "an int and a text cannot be compared",
            "write the number without quotes",
        ),
        ("tier == gold", "gold", "there is no feature `gold`", "texts are written in quotes: 'gold'"),
        ("agee > 3", "agee", "there is no feature `agee`", "did you mean `age`?"),
        ("page == 'fx'", "page", "there is no feature `page`", "did you mean `context.page`?"),
        ("young", "young", "there is no feature `young`", "did you mean `tag.young`?"),
        ("context.pag == 'fx'", "context.pag", "there is no `context.pag`", "did you mean `context.page`?"),
        ("tier == 'glod'", "'glod'", "'glod' is not one of its 3 values", "did you mean 'gold'?"),
        ("tier in ['mass', 'x']", "'x'", "'x' is not one of its 3 values", "values: mass, gold, private"),
        (
            "'food' in interests",
            "'food'",
            "'food' is not one of its 3 values",
            "values: funds, travel, study",
        ),
        (
            "tier < 'gold'",
            "'gold'",
            "this enum's values have no order",
            "declare it with `ordered: true` in the schema",
        ),
        (
            "age == 'x'",
            "age == 'x'",
            "an int and a text cannot be compared",
            "a number is written without quotes; a missing one is `null`",
        ),
        (
            "age + aum > 3",
            "age + aum",
            "an int and a double cannot be combined here",
            "ints and doubles cannot be mixed: write 2.0 for 2, or convert with double(…)",
        ),
        ("age && vip", "age", "true or false was expected, this is an int", "compare it: `age > 0`"),
        ("age", "age", "a condition must be true or false, this is an int", "compare it: `age > 0`"),
        (
            "tier == 'gold' || 'mass'",
            "'mass'",
            "true or false was expected, this is a text",
            "write the comparison out: `tier == 'mass'`, or `tier in ['gold', 'mass']`",
        ),
        (
            "!tier == 'gold'",
            "tier",
            "`!` needs true or false, this is an enum",
            "`!` binds first; negate a whole comparison: `!(tier == …)`",
        ),
        (
            "2 * (age + 1) && vip",
            "2 * (age + 1",
            "true or false was expected, this is an int",
            "compare it: `2 * (age + 1) > 0`",
        ),
        (
            "(age + 1) * (age + 2) && vip",
            "age + 1) * (age + 2",
            "true or false was expected, this is an int",
            "compare it: `(age + 1) * (age + 2) > 0`",
        ),
        (
            "isnull((age + 1) * 2)",
            "isnull((age + 1) * 2)",
            "there is no function `isnull`",
            "write `(age + 1) * 2 == null`",
        ),
        (
            "not(vip && (vip || vip))",
            "not(vip && (vip || vip))",
            "there is no function `not`",
            "write `!(vip && (vip || vip))`",
        ),
        (
            "(age +\n   1) == 2 || ('a  b')",
            "'a  b'",
            "true or false was expected, this is a text",
            "write the comparison out: `age + 1 == 'a  b'`, or `age + 1 in [2, 'a  b']`",
        ),
        ("isnull(age)", "isnull(age)", "there is no function `isnull`", "write `age == null`"),
        ("not(vip)", "not(vip)", "there is no function `not`", "write `!(vip)`"),
        ("len(interests) > 1", "len(interests)", "there is no function `len`", "write `size(interests)`"),
        (
            "'fx' in 'interests'",
            "'interests'",
            "`in` needs a list, a set or a map, this is a text",
            "a feature is written without quotes: `'fx' in interests`",
        ),
        (
            "vip ? 1 : 1.5",
            "1.5",
            "one side of `? :` is an int, the other a double",
            "write both as doubles: 1.0",
        ),
        (
            "seen > '2026-01-01'",
            "seen > '2026-01-01'",
            "a timestamp and a text cannot be compared",
            "write timestamp('2026-01-31T00:00:00Z')",
        ),
        ("sise(interests) > 1", "sise(interests)", "there is no function `sise`", "did you mean `size`?"),
        (
            "contains(tier, 'x')",
            "contains(tier, 'x')",
            "there is no function `contains`",
            "write text.contains(…)",
        ),
        (
            "offer.risk == 'R1'",
            "offer.risk",
            "there is no offer here; `offer.…` is only for guardrails and for offers",
            "",
        ),
        (
            "timestamp('soon') < now",
            "timestamp('soon')",
            "this has no value: not a day such as 2026-11-01 or a time such as 2026-11-01T10:00:00Z",
            "",
        ),
        (
            "timestamp('2026-02-30') < now",
            "timestamp('2026-02-30')",
            "this has no value: there is no such day",
            "",
        ),
        (
            "timestamp('2026-11-01T10:00:00+25:00') < now",
            "timestamp('2026-11-01T10:00:00+25:00')",
            "this has no value: an offset from UTC is at most 18:00",
            "",
        ),
        ("age in ['a']", "age in ['a']", "a list of texts never holds an int", ""),
        ("{1.5: 1}[1] == 1", "1.5", "a map's key is a text, an int, a uint or a bool, this is a double", ""),
        ("a.b.Message{x: 1} == 1", "{", "protobuf messages are not part of the language here", ""),
        (
            "tier.matches(context.intent)",
            "context.intent",
            "write the pattern out, so that it can be checked: text.matches('^[0-9]+$')",
            "",
        ),
        ("tier.matches('(a')", "'(a'", "not a pattern: unclosed group", ""),
        (
            "now.getHours('Asia/Hanoi2') > 8",
            "'Asia/Hanoi2'",
            "there is no time zone 'Asia/Hanoi2'",
            "write a name such as 'Asia/Ho_Chi_Minh' or an offset such as '+07:00'",
        ),
        ("now.getHour() > 8", "now.getHour()", "there is no function `getHour`", "did you mean `getHours`?"),
        ("getHours(now) > 8", "getHours(now)", "there is no function `getHours`", "write time.getHours(…)"),
        (
            "greatest(age, 3) > 8",
            "greatest(age, 3)",
            "there is no function `greatest`",
            "write `math.greatest(age, 3)`",
        ),
        (
            "tier.substring(1, 2, 3) == ''",
            "tier.substring(1, 2, 3)",
            "`substring` takes 1 to 2 arguments",
            "",
        ),
        (
            "interests.all(1, true)",
            "1",
            "write a name for each item here, as in `list.all(item, item > 0)`",
            "",
        ),
        ("interests.al(i, true)", "i", "there is no feature `i`", ""),
        (
            "vip == 'a' + r'\\q' + '\\q'",
            "\\q",
            "there is no such escape; a backslash itself is written `\\\\`",
            "",
        ),
        ("1 / 0 > 2", "1 / 0 > 2", "this never has a value: division by zero", ""),
        ("age > 3 && 1 / 0 > 2", "age > 3 && 1 / 0 > 2", "this never has a value: division by zero", ""),
        (
            "risk.foo == 1",
            "risk.foo",
            "only customer, context, offer, tag, param and maps have fields",
            "write `risk` alone; a function has brackets, as in `risk.foo()`",
        ),
    ] {
        let problems = match Syntax::parse(text, Origin::default()) {
            Ok(syntax) => scope.condition(&syntax).unwrap_err(),
            Err(problems) => problems,
        };
        let problem = problems.iter().next().unwrap();
        let place = problem.place.unwrap();
        let marked = &text[place.offset as usize..(place.offset + place.length) as usize];
        let found = (marked, problem.detail.as_str(), problem.hint.as_deref().unwrap_or(""));
        assert_eq!(found, (under, detail, hint), "{text}");
    }
}

#[test]
fn every_problem_of_an_expression_is_found() {
    let schema = schema();
    let syntax =
        Syntax::parse("agee > 3 && tier == 'x' && context.nope == 1 && age + 1.5 > 2.0", Origin::default())
            .unwrap();
    assert_eq!(Scope::of(&schema).condition(&syntax).unwrap_err().count(), 4);
}

#[test]
fn explanations_name_the_part_that_failed_and_what_it_saw() {
    let schema = schema();
    let words = row(&schema, "age=41 aum=400000");
    let names = TagNames::new(["young"]);
    let scope = Scope { tags: &names, ..Scope::of(&schema) };
    let parse = |text: &str| scope.condition(&Syntax::parse(text, Origin::default()).unwrap()).unwrap();
    let tags = [Tag { name: "young".into(), condition: parse("age < 30") }];
    let context = Context::default();
    let memo = TagMemo::new(1);
    let facts = Facts {
        schema: &schema,
        vector: FeatureVector::new(&words),
        customer: None,
        context: &context,
        channel: ChannelId(0),
        now: Time(0),
        tags: &tags,
        memo: &memo,
        variables: &[],
    };
    for (text, part, values) in [
        ("age > 18 && aum >= 500000 && vip", "aum >= 500000", "aum = 400000"),
        (
            "age > 18 && (tag.young || vip) && aum > 0.0",
            "tag.young || vip",
            "tag.young = false, age = 41, vip = missing",
        ),
        ("risk == 'R2'", "risk == 'R2'", "risk = missing"),
        ("string(age).contains('(') == false && vip && (age > 5 || age < 2)", "vip", "vip = missing"),
        ("string(age).contains(')') == false && (age > 50 || age < 2)", "age > 50 || age < 2", "age = 41"),
    ] {
        let condition = parse(text);
        let (failed, node) = condition.failed_part(&facts);
        let mut read = Vec::new();
        seen::seen(&schema, &tags, node, &facts, &mut read);
        let read: Vec<String> = read.iter().map(|(read, value)| format!("{read} = {value}")).collect();
        assert_eq!((failed, read.join(", ").as_str()), (part, values), "{text}");
    }
}
