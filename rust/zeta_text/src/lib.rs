//! Tokenizers and chat templates behind the C ABI that `zeta_text.h` documents.

mod abi;
mod chat_template;
mod generation_tag;
mod python_json;
mod python_str;
mod strftime;
mod tokenizer;
