//! Methods of Python's `str` that chat templates call and minijinja-contrib lacks.

use minijinja::value::{Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

pub fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => match call_str_method(text, method, args) {
            Err(error) if error.kind() == ErrorKind::UnknownMethod => {
                pycompat::unknown_method_callback(state, value, method, args)
            }
            result => result,
        },
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn call_str_method(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }
        "partition" => {
            let (separator,) = from_args(args)?;
            let (head, tail) = text.split_once(nonempty(separator)?).unwrap_or((text, ""));
            Ok(parts(text, head, separator, tail))
        }
        "rpartition" => {
            let (separator,) = from_args(args)?;
            let (head, tail) = text.rsplit_once(nonempty(separator)?).unwrap_or(("", text));
            Ok(parts(text, head, separator, tail))
        }
        "rsplit" => {
            let (separator, limit): (Option<&str>, Option<i64>) = from_args(args)?;
            rsplit(text, separator, limit.and_then(|limit| usize::try_from(limit).ok()))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn nonempty(separator: &str) -> Result<&str, Error> {
    match separator {
        "" => Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        _ => Ok(separator),
    }
}

/// The three parts; an absent separator leaves an empty middle.
fn parts(text: &str, head: &str, separator: &str, tail: &str) -> Value {
    let found = head.len() + separator.len() + tail.len() == text.len();
    Value::from(Tuple::from([head, if found { separator } else { "" }, tail].map(Value::from)))
}

fn rsplit(text: &str, separator: Option<&str>, limit: Option<usize>) -> Result<Value, Error> {
    let limit = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let mut pieces: Vec<Value> = match separator {
        Some(separator) => text.rsplitn(limit, nonempty(separator)?).map(Value::from).collect(),
        None => rsplit_whitespace(text, limit),
    };
    pieces.reverse();
    Ok(pieces.into())
}

/// From the right: whitespace runs separate, and the last of `limit` pieces keeps those inside it.
fn rsplit_whitespace(text: &str, limit: usize) -> Vec<Value> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end();
    while !rest.is_empty() {
        let begin = match rest.char_indices().rev().find(|(_, c)| c.is_whitespace()) {
            Some((index, space)) if pieces.len() + 1 < limit => index + space.len_utf8(),
            _ => 0,
        };
        pieces.push(rest[begin..].into());
        rest = rest[..begin].trim_end();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    fn eval(expression: &str) -> String {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(super::call_method);
        environment.compile_expression(expression).unwrap().eval(()).unwrap().to_string()
    }

    #[test]
    fn methods_answer_as_in_python() {
        for (expression, expected) in [
            ("'<a>b'.removeprefix('<a>')", "b"),
            ("'b</a>'.removesuffix('</a>')", "b"),
            ("'b'.removesuffix('x')", "b"),
            ("'a=b=c'.partition('=')", "('a', '=', 'b=c')"),
            ("'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"),
            ("'abc'.partition('=')", "('abc', '', '')"),
            ("'abc'.rpartition('=')", "('', '', 'abc')"),
            ("'a,b,c'.rsplit(',', 1)", "['a,b', 'c']"),
            ("'a,b'.rsplit(',')", "['a', 'b']"),
            ("' a  b c '.rsplit()", "['a', 'b', 'c']"),
            ("' a  b c '.rsplit(none, 1)", "[' a  b', 'c']"),
            ("' é '.strip()", "é"),
        ] {
            assert_eq!(eval(expression), expected, "{expression}");
        }
    }
}
