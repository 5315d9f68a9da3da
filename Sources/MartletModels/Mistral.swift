/// Mistral 7B (Jiang et al. 2023): Llama whose tokens attend to a sliding window, as its configuration says.
package typealias Mistral = Llama
