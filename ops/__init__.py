"""What the invoke tasks do, on the operator's machine. Starts the stage scripts, never imports them.

tasks/ defines the commands. cloud/ reads what exists in the project on Google Cloud, laptop/ runs stages on
this machine, project/ deploys and checks the project, images/ builds the images of the stages, costs/
estimates a run, watching/ shows and downloads runs, runs/ and jobs/ start them in the cloud, gpu/ deploys
the GPU lane, rehearsal/ runs both lanes on an emulated cloud. All of them use the modules in
this folder.
"""
