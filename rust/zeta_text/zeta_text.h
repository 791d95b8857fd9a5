/* The C ABI of the Rust crate `zeta_text`: Hugging Face tokenizers and Jinja chat templates.
 *
 * Every function may be called from any thread, and on one handle from several at once, `_free` excepted.
 * Text is UTF-8 with an explicit size and no terminator; a null pointer with size 0 is the empty text. A call
 * that returns ZETA_TEXT_OK has written `*out` and not `*error`; any other has written `*error` (unless it is
 * null) and not `*out`. What was written belongs to the caller, who gives it to the matching `_free`. A panic
 * inside comes back as ZETA_TEXT_INTERNAL: nothing unwinds into the caller.
 */
#ifndef ZETA_TEXT_H_
#define ZETA_TEXT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  ZETA_TEXT_OK = 0,
  ZETA_TEXT_INVALID_ARGUMENT =
      1, /* the caller's input: bad file, bad text, null pointer, refused by a template */
  ZETA_TEXT_RESOURCE_EXHAUSTED = 2, /* a template that would run too long or grow too large */
  ZETA_TEXT_INTERNAL = 3            /* ours */
} zeta_text_status;

typedef struct {
  char* data;
  size_t size;
} zeta_text_string;

typedef struct {
  int32_t* data;
  size_t size;
} zeta_text_ids;

typedef struct zeta_text_tokenizer zeta_text_tokenizer;
typedef struct zeta_text_template zeta_text_template;

/* Null is nothing to free, and neither is a buffer freed before. */
void zeta_text_string_free(zeta_text_string* string);
void zeta_text_ids_free(zeta_text_ids* ids);
void zeta_text_tokenizer_free(zeta_text_tokenizer* tokenizer);
void zeta_text_template_free(zeta_text_template* chat_template);

/* `json`: the content of a tokenizer.json. Its truncation and padding are ignored, as transformers does. */
zeta_text_status zeta_text_tokenizer_new(const char* json, size_t json_size, zeta_text_tokenizer** out,
                                         zeta_text_string* error);
zeta_text_status zeta_text_tokenizer_encode(const zeta_text_tokenizer* tokenizer, const char* text,
                                            size_t text_size, bool add_special_tokens, zeta_text_ids* out,
                                            zeta_text_string* error);
/* Ids that name no token decode to nothing; negative ones are refused. */
zeta_text_status zeta_text_tokenizer_decode(const zeta_text_tokenizer* tokenizer, const int32_t* ids,
                                            size_t ids_size, bool skip_special_tokens, zeta_text_string* out,
                                            zeta_text_string* error);
/* Tokens, added ones included. */
zeta_text_status zeta_text_tokenizer_vocab_size(const zeta_text_tokenizer* tokenizer, int32_t* out,
                                                zeta_text_string* error);

/* `variables_json`: an object of what a template may name beside its messages (bos_token, eos_token …). */
zeta_text_status zeta_text_template_new(const char* source, size_t source_size, const char* variables_json,
                                        size_t variables_json_size, zeta_text_template** out,
                                        zeta_text_string* error);
/* `messages_json`: an array, not empty, of objects. */
zeta_text_status zeta_text_template_render(const zeta_text_template* chat_template, const char* messages_json,
                                           size_t messages_json_size, bool add_generation_prompt,
                                           zeta_text_string* out, zeta_text_string* error);

#ifdef __cplusplus
}
#endif

#endif
