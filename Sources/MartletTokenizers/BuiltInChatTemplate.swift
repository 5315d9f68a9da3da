/// Prompt formats for checkpoints that come without a chat template.
///
/// The rule, in this order: a checkpoint of architecture `llava` speaks Vicuna's format; a vocabulary with the control tokens
/// of Llama 3 or of ChatML speaks that (with Qwen's default system message where the architecture is `qwen2`); an
/// architecture `llama` or `mistral` with Llama 2's vocabulary (32,000 SentencePiece tokens and `<s>`, `</s>`) speaks Llama 2's.
/// Anything else has no chat format.
package enum BuiltInChatTemplate: String, Sendable, CaseIterable {
    case llava, llama3, qwen, chatML, llama2

    package init?(architecture: String, tokenizer: Tokenizer) {
        func speaks(_ tokens: String...) -> Bool {
            tokens.allSatisfy { token in tokenizer.id(of: token).map(tokenizer.isSpecial) ?? false }
        }
        if architecture == "llava" {
            self = .llava
        } else if speaks("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>") {
            self = .llama3
        } else if speaks("<|im_start|>", "<|im_end|>") {
            self = architecture == "qwen2" ? .qwen : .chatML
        } else if ["llama", "mistral"].contains(architecture), speaks("<s>", "</s>"),
            tokenizer.id(of: "<0x0A>") != nil, (32000...32064).contains(tokenizer.vocabularySize)
        {
            self = .llama2
        } else {
            return nil
        }
    }

    /// The Jinja source.
    package var source: String {
        switch self {
        case .chatML: Self.chatMLTurns
        case .qwen:
            #"{%- if messages and messages[0]['role'] != 'system' -%}"#
                + #"{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}{%- endif -%}"#
                + Self.chatMLTurns
        case .llama3:
            #"""
            {{- bos_token -}}
            {%- for message in messages -%}
            {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}
            """#
        case .llama2:
            #"""
            {%- set system = '' -%}{%- set turns = messages -%}
            {%- if messages and messages[0]['role'] == 'system' -%}
            {%- set system = '<<SYS>>\n' + messages[0]['content'] | trim + '\n<</SYS>>\n\n' -%}
            {%- set turns = messages[1:] -%}
            {%- endif -%}
            {%- for message in turns -%}
            {%- if message['role'] != ('user' if loop.index0 % 2 == 0 else 'assistant') -%}
            {{- raise_exception('user and assistant must take turns') -}}
            {%- elif message['role'] == 'user' -%}
            {{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim + ' [/INST]' -}}
            {%- else -%}
            {{- ' ' + message['content'] | trim + ' ' + eos_token -}}
            {%- endif -%}
            {%- endfor -%}
            """#
        case .llava:
            #"""
            {{- bos_token -}}
            {%- for message in messages -%}
            {%- if message['role'] != 'system' -%}{{- message['role'] | upper + ': ' -}}{%- endif -%}
            {%- if message['content'] is string -%}
            {{- message['content'] -}}
            {%- else -%}
            {%- for part in message['content'] if part['type'] == 'image' -%}{{- '<image>\n' -}}{%- endfor -%}
            {%- for part in message['content'] if part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}
            {%- endif -%}
            {{- eos_token if message['role'] == 'assistant' else ' ' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}
            """#
        }
    }

    private static let chatMLTurns = #"""
        {%- for message in messages -%}
        {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
        """#
}
