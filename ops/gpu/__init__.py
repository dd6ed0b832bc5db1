"""The GPU lane on Google Cloud: its names, and the steps of gcloud that deploy it and remove it again."""
