"""The recipe of short runs, whose model and corpus are to be filled in; a section `compare` may follow."""

RUN = """
model: {model}
output: out
data:
  train: {{path: {corpus}}}
  validation_size: 20
  test_size: 40
training: {{max_steps: 6, batch_tokens: 600, evaluate_every: 3}}
decoding: {{max_tokens: 8}}
"""
