terraform {
  # Needs no provider: it renders text, and asks the `sluice` command.
  required_version = ">= 1.9"
}
