"""Behind the invoke tasks, on the operator's machine. Starts the stage scripts, never imports them.

project/ deploys and checks the Google Cloud project, images/ builds what the stages run in, laptop/ runs
them here, runs/ and jobs/ run them in the cloud, watching/ shows what goes on and fetches what came of it,
costs/ says what it takes. What all of these use lies beside this file.
"""
