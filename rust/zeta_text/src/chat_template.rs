//! Chat templates rendered as transformers' `apply_chat_template` renders them.

use crate::abi::{Failure, Status, Text, as_out, as_ref, as_str, free_handle, guard, invalid};
use crate::generation_tag::rename_generation_tags;
use crate::python_json::tojson;
use crate::python_str::call_method;
use crate::strftime::strftime_now;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use std::collections::BTreeMap;

/// Instructions, or 64 bytes of text each: bounds one rendering to well under a second and 256 MB.
const FUEL: u64 = 4_000_000;
const NAME: &str = "chat_template";

pub struct ChatTemplate(Environment<'static>);

impl ChatTemplate {
    fn new(source: &str, variables_json: &str) -> Result<Self, Failure> {
        let variables: BTreeMap<String, Value> = serde_json::from_str(variables_json)
            .map_err(|e| invalid(format!("expected variables to be a JSON object: {e}")))?;
        let mut environment = environment().map_err(failure)?;
        for (name, value) in variables {
            environment.add_global(name, value);
        }
        environment.add_template_owned(NAME, rename_generation_tags(source)).map_err(failure)?;
        Ok(ChatTemplate(environment))
    }

    fn render(&self, messages_json: &str, add_generation_prompt: bool) -> Result<String, Failure> {
        let messages = parse_messages(messages_json)?;
        // transformers defines tools and documents even when a call gives none.
        let variables = context! { messages, add_generation_prompt, tools => (), documents => () };
        self.0.get_template(NAME).and_then(|template| template.render(variables)).map_err(failure)
    }
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(call_method);
    environment.add_filter("tojson", tojson);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_function("strftime_now", strftime_now);
    environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    Ok(environment)
}

/// Jinja2's test, what `iter` takes; MiniJinja's own also takes `none`.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Jinja2's test, what has a length and items; MiniJinja's own takes lists only.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
}

fn parse_messages(json: &str) -> Result<Value, Failure> {
    let messages: Value =
        serde_json::from_str(json).map_err(|e| invalid(format!("messages are not JSON: {e}")))?;
    if messages.kind() != ValueKind::Seq {
        return Err(invalid(format!("expected messages to be an array, got a {}", messages.kind())));
    }
    if messages.len() == Some(0) {
        return Err(invalid("expected at least one message, got none"));
    }
    let items = messages.try_iter().map_err(failure)?;
    for (index, message) in items.enumerate() {
        if message.kind() != ValueKind::Map {
            return Err(invalid(format!(
                "expected message {index} to be an object, got a {}",
                message.kind()
            )));
        }
    }
    Ok(messages)
}

fn failure(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::OutOfFuel => Failure {
            status: Status::ResourceExhausted,
            message: format!("the chat template used up its {FUEL} steps"),
        },
        _ => invalid(error.to_string()),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_template_new(
    source: *const u8,
    source_size: usize,
    variables_json: *const u8,
    variables_json_size: usize,
    out: *mut *mut ChatTemplate,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            let out = as_out(out)?;
            let source = as_str(source, source_size, "the chat template")?;
            let variables = as_str(variables_json, variables_json_size, "variables")?;
            out.write(Box::into_raw(Box::new(ChatTemplate::new(source, variables)?)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_template_free(template: *mut ChatTemplate) {
    unsafe { free_handle(template) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_template_render(
    template: *const ChatTemplate,
    messages_json: *const u8,
    messages_json_size: usize,
    add_generation_prompt: bool,
    out: *mut Text,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            let (template, out) = (as_ref(template, "template")?, as_out(out)?);
            let messages = as_str(messages_json, messages_json_size, "messages")?;
            out.write(template.render(messages, add_generation_prompt)?.into_bytes().into());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"[{"role": "user", "content": "hello"}]"#;

    fn render(source: &str, messages: &str) -> Result<String, Failure> {
        ChatTemplate::new(source, r#"{"bos_token": "<s>"}"#)?.render(messages, true)
    }

    #[test]
    fn variables_are_those_of_transformers() {
        let source =
            "{{ bos_token }}{{ messages[0].content }}{{ add_generation_prompt }}{{ tools }}{{ eos_token }}";
        assert_eq!(render(source, HELLO).unwrap(), "<s>helloTrueNone");
    }

    #[test]
    fn an_endless_loop_runs_out_of_fuel() {
        let source =
            "{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}";
        assert_eq!(render(source, HELLO).unwrap_err().status, Status::ResourceExhausted);
        let failure =
            render("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", HELLO).unwrap_err();
        assert_eq!(failure.status, Status::InvalidArgument);
    }

    #[test]
    fn a_huge_string_is_refused_before_it_is_made() {
        assert_eq!(render("{{ 'x' * 10 ** 12 }}", HELLO).unwrap_err().status, Status::ResourceExhausted);
    }

    #[test]
    fn what_the_template_raises_is_the_callers_error() {
        let failure = render("{{ raise_exception('roles must alternate') }}", HELLO).unwrap_err();
        assert_eq!(failure.status, Status::InvalidArgument);
        assert!(failure.message.contains("roles must alternate"), "{}", failure.message);
    }

    #[test]
    fn messages_must_be_a_list_of_objects() {
        for (messages, expected) in [
            ("{}", "expected messages to be an array, got a map"),
            ("[]", "expected at least one message, got none"),
            ("[{}, 3]", "expected message 1 to be an object, got a number"),
            ("[", "messages are not JSON: EOF while parsing a list at line 1 column 1"),
        ] {
            assert_eq!(render("", messages).unwrap_err().message, expected);
        }
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let failure = ChatTemplate::new("one\n{% if %}", "{}").err().unwrap();
        assert!(failure.message.contains("chat_template:2"), "{}", failure.message);
    }
}
