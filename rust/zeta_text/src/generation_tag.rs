//! transformers' own tag `{% generation %}…{% endgeneration %}`, which marks the assistant's part of a chat
//! for training and renders its body unchanged. MiniJinja takes no new tags, so it becomes a bare `with`.

/// `source` with every generation tag renamed; its whitespace marks (`{%-`, `-%}`) stay.
pub fn rename_generation_tags(source: &str) -> String {
    let mut renamed = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = rest.find("{%") {
        let (before, tag) = rest.split_at(begin + 2);
        let Some(end) = tag.find("%}") else { break };
        renamed.push_str(before);
        renamed.push_str(&renamed_tag(&tag[..end]));
        rest = &tag[end..];
    }
    renamed + rest
}

fn renamed_tag(tag: &str) -> String {
    match tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
        "generation" => tag.replace("generation", "with"),
        "endgeneration" => tag.replace("endgeneration", "endwith"),
        _ => tag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::rename_generation_tags;

    #[test]
    fn renames_the_tag_and_keeps_its_whitespace_marks() {
        let renamed = rename_generation_tags("a{%- generation %}b{% endgeneration -%}c");
        assert_eq!(renamed, "a{%- with %}b{% endwith -%}c");
    }

    #[test]
    fn leaves_everything_else_alone() {
        for source in
            ["", "generation", "{% set generation = 1 %}{{ generation }}", "{% generation", "{%%}é%}"]
        {
            assert_eq!(rename_generation_tags(source), source);
        }
    }
}
