//! The `tojson` filter of transformers: `json.dumps` with its separators, number formats and arguments.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

const DEEPEST: usize = 128;

pub fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent = kwargs.get::<Option<Value>>("indent")?.map(indent_unit).transpose()?;
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    let (item_separator, key_separator) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(other) => return Err(refuse(format!("expected 2 separators, got {}", other.len()))),
    };
    let mut writer = Writer {
        json: String::new(),
        indent,
        item_separator,
        key_separator,
        ensure_ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    writer.write(value, 0)?;
    Ok(writer.json)
}

fn indent_unit(indent: Value) -> Result<String, Error> {
    match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(" ".repeat(usize::try_from(indent)?.min(DEEPEST))),
    }
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {message}"))
}

struct Writer {
    json: String,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Writer {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(refuse(format!("expected at most {DEEPEST} levels")));
        }
        match value.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => self.json.push_str(&scalar(value)?),
            ValueKind::String => self.write_str(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.write_list(value, depth)?,
            ValueKind::Map => self.write_map(value, depth)?,
            kind => return Err(refuse(format!("{kind} has no JSON form"))),
        }
        Ok(())
    }

    fn write_list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        self.json.push('[');
        let mut first = true;
        for item in list.try_iter()?.checked() {
            self.begin_item(&mut first, depth);
            self.write(&item?, depth + 1)?;
        }
        self.end(']', first, depth);
        Ok(())
    }

    fn write_map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = map.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
        if self.sort_keys {
            keys.sort();
        }
        self.json.push('{');
        let mut first = true;
        for key in keys {
            self.begin_item(&mut first, depth);
            match key.as_str() {
                Some(text) => self.write_str(text),
                None => self.write_str(&scalar(&key)?),
            }
            self.json.push_str(&self.key_separator);
            self.write(&map.get_item(&key)?, depth + 1)?;
        }
        self.end('}', first, depth);
        Ok(())
    }

    fn begin_item(&mut self, first: &mut bool, depth: usize) {
        if !std::mem::replace(first, false) {
            self.json.push_str(&self.item_separator);
        }
        self.begin_line(depth + 1);
    }

    fn end(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.begin_line(depth);
        }
        self.json.push(bracket);
    }

    fn begin_line(&mut self, depth: usize) {
        if let Some(unit) = &self.indent {
            self.json.push('\n');
            self.json.extend(std::iter::repeat_n(unit.as_str(), depth));
        }
    }

    fn write_str(&mut self, text: &str) {
        self.json.push('"');
        for c in text.chars() {
            match c {
                '"' => self.json.push_str("\\\""),
                '\\' => self.json.push_str("\\\\"),
                '\n' => self.json.push_str("\\n"),
                '\r' => self.json.push_str("\\r"),
                '\t' => self.json.push_str("\\t"),
                '\u{8}' => self.json.push_str("\\b"),
                '\u{c}' => self.json.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && !(' '..='~').contains(&c)) => self.write_escape(c),
                c => self.json.push(c),
            }
        }
        self.json.push('"');
    }

    fn write_escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            self.json.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

fn scalar(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Ok(value.to_string()),
        ValueKind::Number => Ok(python_float(f64::try_from(value.clone())?)),
        kind => Err(refuse(format!("{kind} cannot be a key"))),
    }
}

/// `float.__repr__`: the shortest digits, with an exponent below 1e-4 and from 1e16.
fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::python_float;
    use minijinja::Environment;

    fn eval(expression: &str) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::tojson);
        Ok(environment.compile_expression(expression)?.eval(())?.to_string())
    }

    #[test]
    fn floats_print_as_python_prints_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(python_float(value), expected);
        }
    }

    #[test]
    fn arguments_choose_the_layout() {
        for (expression, expected) in [
            ("{'b': [1, '<é>'], 'a': none}|tojson", "{\"b\": [1, \"<é>\"], \"a\": null}"),
            ("{'b': 1, 'a': 2}|tojson(sort_keys=true)", "{\"a\": 2, \"b\": 1}"),
            ("[1, {}]|tojson(indent=2)", "[\n  1,\n  {}\n]"),
            ("[1, 2]|tojson(separators=(',', ':'))", "[1,2]"),
            ("'é😀\x7f'|tojson(ensure_ascii=true)", "\"\\u00e9\\ud83d\\ude00\\u007f\""),
            ("{1: true, 1.5: 0}|tojson", "{\"1\": true, \"1.5\": 0}"),
        ] {
            assert_eq!(eval(expression).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn what_has_no_json_form_is_refused() {
        for expression in ["nothing|tojson", "[1]|tojson(separators=['a'])", "1|tojson(colour=1)"] {
            assert!(eval(expression).is_err(), "{expression}");
        }
    }
}
