//! A program in jq's language.

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader, lex, parse};
use jaq_core::native::{Fun, bome};
use jaq_core::{Compiler, Ctx, Error, Filter, Native, Vars, compile, unwrap_valr};
use jaq_json::Val;

use super::position;

/// What values are.
type Data = JustLut<Val>;

/// What a program sees beside its input.
const VARIABLES: [&str; 4] = ["$window", "$key", "$from", "$until"];

/// Filters of jq's that look at or change what is around the program, or are not the same twice.
const REFUSED: [&str; 5] = ["env", "halt", "now", "localtime", "strflocaltime"];

/// Filters that only write to the log, which is not the program's.
const SILENT: [&str; 2] = ["debug_empty", "stderr_empty"];

/// The most outputs of one input.
const MAX_OUTPUTS: usize = 10_000;

/// How much of an error is told, in characters.
const MAX_ERROR: usize = 1_000;

/// A program in jq's language, ready to run.
pub(super) struct Program(Filter<Data>);

/// What a program sees beside its input, in the order of [`VARIABLES`].
pub(super) type Variables = [Val; VARIABLES.len()];

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// Says what is wrong at which line and column.
    pub(super) fn compile(code: &str) -> Result<Self, String> {
        let own = load::parse(include_str!("prelude.jq"), |parser| parser.defs());
        let defs = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .chain(own.unwrap_or_default());
        let arena = Arena::default();
        let file = File { code, path: () };
        let modules = Loader::new(defs)
            .load(&arena, file)
            .map_err(|errors| first(errors, |error| load_error(code, &error)))?;
        Compiler::<_, Data>::default()
            .with_funs(functions())
            .with_global_vars(VARIABLES)
            .compile(modules)
            .map(Self)
            .map_err(|errors| first(errors, |error| undefined(code, &error)))
    }

    /// What comes of an input.
    ///
    /// # Errors
    /// What the program raised, or that there is too much.
    pub(super) fn run(&self, input: Val, variables: Variables) -> Result<Vec<Val>, String> {
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new(variables));
        let outputs = self.0.id.run((context, input)).map(unwrap_valr);
        let mut all = Vec::new();
        for output in outputs {
            if all.len() == MAX_OUTPUTS {
                return Err(format!("more than {MAX_OUTPUTS} outputs"));
            }
            all.push(output.map_err(told)?);
        }
        Ok(all)
    }
}

/// What a program raises may be any value.
fn told(error: jaq_json::Error) -> String {
    let text = match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        other => other.to_string(),
    };
    text.chars().take(MAX_ERROR).collect()
}

fn functions() -> impl Iterator<Item = Fun<Data>> {
    let standard = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    standard.map(|(name, arguments, filter)| {
        let filter = match name {
            name if REFUSED.contains(&name) => refused(),
            name if SILENT.contains(&name) => silent(),
            _ => filter,
        };
        (name, arguments, filter)
    })
}

fn refused() -> Native<Data> {
    Native::new(|_| {
        let text = "this is not for signals: it is not the same at each time and place";
        bome(Err(Error::str(text)))
    })
}

fn silent() -> Native<Data> {
    Native::new(|_| Box::new(std::iter::empty()))
}

/// What the first of some errors says.
fn first<E>(errors: load::Errors<&str, (), E>, text: impl Fn(E) -> String) -> String {
    let mut errors = errors.into_iter().map(|(_, error)| text(error));
    errors
        .next()
        .unwrap_or_else(|| "it can't be read".to_owned())
}

fn load_error(code: &str, error: &load::Error<&str>) -> String {
    let text = match error {
        load::Error::Io(errors) => errors
            .first()
            .map(|(part, _)| at(code, part, "modules can't be loaded here")),
        load::Error::Lex(errors) => errors.first().map(|error| lex_error(code, error)),
        load::Error::Parse(errors) => errors.first().map(|error| parse_error(code, error)),
    };
    text.unwrap_or_default()
}

fn lex_error(code: &str, (expected, found): &lex::Error<&str>) -> String {
    let what = match expected {
        lex::Expect::Delim(open) => format!("this `{open}` is not closed"),
        other => format!("expected {}{}", other.as_str(), but_found(found)),
    };
    let part = match expected {
        lex::Expect::Delim(open) => open,
        _ => found,
    };
    at(code, part, &what)
}

fn parse_error(code: &str, (expected, found): &parse::Error<&str>) -> String {
    let what = format!("expected {}{}", expected.as_str(), but_found(found));
    at(code, found, &what)
}

fn undefined(code: &str, errors: &[compile::Error<&str>]) -> String {
    let Some((part, kind)) = errors.first() else {
        return String::new();
    };
    let arity = match kind {
        compile::Undefined::Filter(arity) => format!("/{arity}"),
        _ => String::new(),
    };
    at(
        code,
        part,
        &format!("there is no {} {part}{arity}", kind.as_str()),
    )
}

fn at(code: &str, part: &str, what: &str) -> String {
    format!("{}: {what}", position::of(code, part))
}

fn but_found(found: &str) -> String {
    match found.split_whitespace().next() {
        None => ", and there is nothing more".to_owned(),
        Some(word) => format!(" before `{}`", word.chars().take(40).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compile(code: &str) -> Program {
        Program::compile(code).unwrap_or_else(|error| panic!("{code}: {error}"))
    }

    fn run_on(code: &str, input: &str) -> Result<Vec<String>, String> {
        let input = jaq_json::read::parse_single(input.as_bytes()).expect("JSON");
        let variables = [const { Val::Null }; 4];
        let outputs = compile(code).run(input, variables)?;
        Ok(outputs.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_language_is_jqs() {
        let outputs = run_on(
            r#".[] | select(.n > 1) | {n, up: (.s | ascii_upcase | test("B"))}"#,
            r#"[{"n":1,"s":"a"},{"n":2,"s":"ab"},{"n":3,"s":"c"}]"#,
        );
        let expected = [r#"{"n":2,"up":true}"#, r#"{"n":3,"up":false}"#];
        assert_eq!(outputs.expect("runs"), expected);
    }

    #[test]
    fn mistakes_have_a_line_and_a_column() {
        for (code, text) in [
            (".a |\n  | .b", "line 2, column 3: expected term before `|`"),
            (
                ".a |",
                "line 1, column 5: expected term, and there is nothing more",
            ),
            ("\n(.a", "line 2, column 1: this `(` is not closed"),
            (".a ; .b", "line 1, column 4: expected nothing before `;`"),
            ("map(nope)", "line 1, column 5: there is no filter nope/0"),
            (".a\n| $ENV", "line 2, column 3: there is no variable $ENV"),
            ("\"\\q\"", "line 1, column 3: expected "),
            (
                "include \"a\"; .",
                "line 1, column 10: modules can't be loaded",
            ),
            ("input", "line 1, column 1: there is no filter input/0"),
        ] {
            let error = Program::compile(code).err().expect(code);
            assert!(error.starts_with(text), "{code}: {error}");
        }
    }

    #[test]
    fn nothing_around_the_program_can_be_seen() {
        for code in ["env", "now", "halt", "localtime"] {
            let error = run_on(code, "0").expect_err(code);
            assert!(error.contains("not for signals"), "{code}: {error}");
        }
        assert_eq!(run_on("debug | stderr", "1").expect("silent"), ["1"]);
    }

    #[test]
    fn outputs_are_bounded() {
        let error = run_on("repeat(1)", "0").expect_err("endless");
        assert!(error.contains("more than 10000 outputs"), "{error}");
        assert_eq!(run_on("range(10000)", "0").map(|all| all.len()), Ok(10_000));
    }

    #[test]
    fn an_error_is_told_and_not_at_length() {
        let error = run_on(".data.a", r#"{"data":[1]}"#).expect_err("no object");
        assert!(error.contains("cannot index"), "{error}");
        let long = run_on(r#"error("x" * 5000)"#, "0").expect_err("an error");
        assert!(long.chars().count() <= MAX_ERROR, "{}", long.len());
    }

    proptest! {
        #[test]
        fn any_text_is_a_program_or_has_a_place_that_is_wrong(
            code in r#"[.|,;a\[\](){}"$ \n0-9+*=?:<>@-]{0,40}"#
        ) {
            if let Err(error) = Program::compile(&code) {
                prop_assert!(error.starts_with("line "), "{}: {}", code, error);
            }
        }
    }
}
