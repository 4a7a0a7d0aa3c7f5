# Secrets are written and forgotten.

mock_provider "aws" {}

variables {
  versions = { SPIN_VARIABLE_OPENAI_API_KEY = 3 }
  values   = { SPIN_VARIABLE_OPENAI_API_KEY = "sk-not-a-key" }
}

run "a_secret_is_in_no_state" {
  assert {
    condition     = aws_secretsmanager_secret_version.this["SPIN_VARIABLE_OPENAI_API_KEY"].secret_string_wo == null
    error_message = "The state holds the secret."
  }

  assert {
    condition     = aws_secretsmanager_secret_version.this["SPIN_VARIABLE_OPENAI_API_KEY"].secret_string_wo_version == 3
    error_message = "Another version is written than was asked for."
  }
}

run "its_reader_reads_it_alone" {
  assert {
    condition     = jsondecode(aws_iam_policy.reader.policy).Statement[*].Resource == [[aws_secretsmanager_secret.this["SPIN_VARIABLE_OPENAI_API_KEY"].arn]]
    error_message = "The reader reads other secrets too."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    prefix               = "a/b/"
    versions             = { "api key" = 1 }
    values               = { "api key" = "x" }
    recovery_window_days = 1
  }

  expect_failures = [var.prefix, var.versions, var.recovery_window_days]
}
